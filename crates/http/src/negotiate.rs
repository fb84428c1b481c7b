//! Which codec a body is in and which one the answer shall have, with the refusals of Mesos word for word.

use http_types::{HeaderMap, HeaderValue, header};

use crate::response::Response;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const RECORDIO: &str = "application/recordio";
const MESSAGE_CONTENT_TYPE: &str = "Message-Content-Type";
const MESSAGE_ACCEPT: &str = "Message-Accept";

/// How one message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// The JSON dialect of Mesos.
    Json,
    /// Protocol buffers.
    Protobuf,
}

impl Codec {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The codec of a `Content-Type`. Case and parameters (`; charset=utf-8`) do not matter, unlike in Mesos, which refuses
    /// them.
    pub fn of(content_type: &str) -> Option<Self> {
        match bare(content_type) {
            media if media.eq_ignore_ascii_case(JSON) => Some(Self::Json),
            media if media.eq_ignore_ascii_case(PROTOBUF) => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// The codec of a request's body, or the refusal.
pub fn content_codec(headers: &HeaderMap) -> Result<Codec, Response> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Response::bad_request("Expecting 'Content-Type' to be present"));
    };
    let codec = value.to_str().ok().and_then(Codec::of);
    codec.ok_or_else(|| {
        Response::unsupported_media_type(format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF}"))
    })
}

/// Which words the refusal of `Accept` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptable {
    /// The endpoints for calls: schedulers, executors, operators of the master.
    Calls,
    /// Answers rendered outside the endpoint proper (state queries).
    Queries,
}

/// The codec the client wants the answer in. JSON, if it takes that at all, whatever the weights are, as in Mesos.
pub fn accept(headers: &HeaderMap, words: Acceptable) -> Result<Codec, Response> {
    if accepts(headers, "Accept", JSON) {
        Ok(Codec::Json)
    } else if accepts(headers, "Accept", PROTOBUF) {
        Ok(Codec::Protobuf)
    } else {
        Err(Response::not_acceptable(match words {
            Acceptable::Calls => format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'"),
            Acceptable::Queries => "Request must accept json or protobuf".to_owned(),
        }))
    }
}

/// What was negotiated for a call to the agent's operator API, whose bodies may be streams both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamMedia {
    /// The codec of the request's message, or of each of its records.
    pub content: Codec,
    /// Whether the request is a stream of records.
    pub content_streams: bool,
    /// The codec of the answer's message, or of each of its records.
    pub accept: Codec,
    /// Whether the client wants records, under `application/recordio`.
    pub accept_streams: bool,
}

/// Negotiates for the agent's operator API, in the order of Mesos's checks.
pub fn agent_media(headers: &HeaderMap) -> Result<StreamMedia, Response> {
    let (content, content_streams) = agent_content(headers)?;
    let (accept, accept_streams) = agent_accept(headers)?;
    Ok(StreamMedia { content, content_streams, accept, accept_streams })
}

fn agent_content(headers: &HeaderMap) -> Result<(Codec, bool), Response> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Err(Response::bad_request("Expecting 'Content-Type' to be present"));
    };
    let value = value.to_str().unwrap_or_default();
    let message = headers.get(MESSAGE_CONTENT_TYPE);
    if bare(value).eq_ignore_ascii_case(RECORDIO) {
        let Some(message) = message else {
            return Err(Response::bad_request(format!(
                "Expecting '{MESSAGE_CONTENT_TYPE}' to be set for streaming requests"
            )));
        };
        let codec = message.to_str().ok().and_then(Codec::of).ok_or_else(|| {
            Response::unsupported_media_type(format!(
                "Expecting '{MESSAGE_CONTENT_TYPE}' of {JSON} or {PROTOBUF}"
            ))
        })?;
        return Ok((codec, true));
    }
    let Some(codec) = Codec::of(value) else {
        return Err(Response::unsupported_media_type(format!(
            "Expecting 'Content-Type' of {JSON} or {PROTOBUF} or {RECORDIO}"
        )));
    };
    if message.is_some() {
        return Err(Response::unsupported_media_type(format!(
            "Expecting '{MESSAGE_CONTENT_TYPE}' to be not set for non-streaming requests"
        )));
    }
    Ok((codec, false))
}

fn agent_accept(headers: &HeaderMap) -> Result<(Codec, bool), Response> {
    let plain = if accepts(headers, "Accept", JSON) {
        Some(Codec::Json)
    } else if accepts(headers, "Accept", PROTOBUF) {
        Some(Codec::Protobuf)
    } else {
        None
    };
    if let Some(codec) = plain {
        if headers.contains_key(MESSAGE_ACCEPT) {
            return Err(Response::not_acceptable(format!(
                "Expecting '{MESSAGE_ACCEPT}' to be not set for non-streaming responses"
            )));
        }
        return Ok((codec, false));
    }
    if !accepts(headers, "Accept", RECORDIO) {
        return Err(Response::not_acceptable(format!(
            "Expecting 'Accept' to allow {JSON} or {PROTOBUF} or {RECORDIO}"
        )));
    }
    if accepts(headers, MESSAGE_ACCEPT, JSON) {
        Ok((Codec::Json, true))
    } else if accepts(headers, MESSAGE_ACCEPT, PROTOBUF) {
        Ok((Codec::Protobuf, true))
    } else {
        Err(Response::not_acceptable(format!("Expecting '{MESSAGE_ACCEPT}' to allow {JSON} or {PROTOBUF}")))
    }
}

/// Whether the header `name` (`Accept` or `Message-Accept`) allows `media`. An absent header allows everything.
pub fn accepts(headers: &HeaderMap, name: &str, media: &str) -> bool {
    let Some((kind, _)) = media.split_once('/') else { return false };
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    let values: Vec<&HeaderValue> = values.collect();
    let any_of_kind = format!("{kind}/*");
    allowed(&values, &[media, &any_of_kind, "*/*"])
}

/// Whether `Accept-Encoding` allows `encoding`. An absent or empty header allows none.
pub fn encoding_accepted(headers: &HeaderMap, encoding: &str) -> bool {
    let values: Vec<&HeaderValue> = headers.get_all(header::ACCEPT_ENCODING).iter().collect();
    allowed(&values, &[encoding, "*"])
}

/// The first candidate that is listed decides, by whether its weight is above zero.
fn allowed(values: &[&HeaderValue], candidates: &[&str]) -> bool {
    let items = || values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for candidate in candidates {
        if let Some(item) = items().find(|item| bare(item).eq_ignore_ascii_case(candidate)) {
            return !weightless(item);
        }
    }
    false
}

/// Whether an item such as `text/html;q=0` has a weight of zero, or one that is no number.
fn weightless(item: &str) -> bool {
    let weights = item.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut weights =
        weights.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q")).map(|(_, value)| value.trim());
    let (Some(weight), None) = (weights.next(), weights.next()) else { return false };
    weight.parse::<f64>().map_or(true, |weight| weight <= 0.0)
}

fn bare(media: &str) -> &str {
    media.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use http_types::HeaderName;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn refusal(response: Response) -> (u16, String) {
        let body = String::from_utf8(response.whole().unwrap().to_vec()).unwrap();
        (response.status.as_u16(), body)
    }

    #[test]
    fn content_types() {
        let of = |pairs: &[(&str, &str)]| content_codec(&headers(pairs)).map_err(refusal);
        assert_eq!(of(&[("content-type", "application/json")]), Ok(Codec::Json));
        assert_eq!(of(&[("content-type", "Application/JSON; charset=utf-8")]), Ok(Codec::Json));
        assert_eq!(of(&[("content-type", "application/x-protobuf")]), Ok(Codec::Protobuf));
        assert_eq!(of(&[]), Err((400, "Expecting 'Content-Type' to be present".into())));
        let words = "Expecting 'Content-Type' of application/json or application/x-protobuf";
        assert_eq!(of(&[("content-type", "text/plain")]), Err((415, words.into())));
    }

    #[test]
    fn accepted_types() {
        let of = |value: &str| accept(&headers(&[("accept", value)]), Acceptable::Calls).map_err(refusal);
        assert_eq!(accept(&HeaderMap::new(), Acceptable::Calls).map_err(refusal), Ok(Codec::Json));
        for (value, codec) in [
            ("*/*", Codec::Json),
            ("application/*", Codec::Json),
            ("application/x-protobuf", Codec::Protobuf),
            ("text/html, application/x-protobuf", Codec::Protobuf),
            ("application/x-protobuf, application/json;q=0.1", Codec::Json),
            ("application/json;q=0, application/x-protobuf", Codec::Protobuf),
            ("application/json; q=0.0, */*", Codec::Protobuf),
            ("APPLICATION/JSON", Codec::Json),
        ] {
            assert_eq!(of(value), Ok(codec), "{value}");
        }
        let words = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
        assert_eq!(of("text/html"), Err((406, words.into())));
        assert_eq!(of(""), Err((406, words.into())));
    }

    #[test]
    fn encodings() {
        let of = |value: &str| encoding_accepted(&headers(&[("accept-encoding", value)]), "gzip");
        for (value, expected) in [
            ("gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("gzip;q=0", false),
            ("*", true),
            ("gzip;q=0, *", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(of(value), expected, "{value}");
        }
        assert!(!encoding_accepted(&HeaderMap::new(), "gzip"));
    }

    #[test]
    fn agent_streams() {
        let of =
            |pairs: &[(&str, &str)]| agent_media(&headers(pairs)).map_err(|response| refusal(response).0);
        let plain = StreamMedia {
            content: Codec::Json,
            content_streams: false,
            accept: Codec::Json,
            accept_streams: false,
        };
        let recordio = "application/recordio";
        let json = "application/json";
        assert_eq!(of(&[("content-type", json)]), Ok(plain));
        assert_eq!(
            of(&[("content-type", recordio), ("message-content-type", json)]),
            Ok(StreamMedia { content_streams: true, ..plain })
        );
        assert_eq!(
            of(&[("content-type", json), ("accept", recordio), ("message-accept", "application/x-protobuf")]),
            Ok(StreamMedia { accept: Codec::Protobuf, accept_streams: true, ..plain })
        );
        assert_eq!(of(&[]), Err(400));
        assert_eq!(of(&[("content-type", recordio)]), Err(400));
        assert_eq!(of(&[("content-type", recordio), ("message-content-type", "x/y")]), Err(415));
        assert_eq!(of(&[("content-type", json), ("message-content-type", json)]), Err(415));
        assert_eq!(of(&[("content-type", json), ("message-accept", json)]), Err(406));
        assert_eq!(of(&[("content-type", json), ("accept", "text/html")]), Err(406));
        assert_eq!(of(&[("content-type", json), ("accept", recordio), ("message-accept", "x/y")]), Err(406));
    }
}
