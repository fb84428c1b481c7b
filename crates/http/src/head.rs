//! One request that lies whole in a buffer. Pure: bytes in, parts out.
//!
//! It takes only what is plain: a POST with a `Content-Length`, on a connection that stays open. All else is left to
//! hyper, untouched, and so are requests that are wrong.

use bytes::{Buf as _, Bytes, BytesMut};
use http_types::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

/// More headers than these are not plain.
const HEADERS_MAX: usize = 64;

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Plain {
    pub(crate) path: String,
    pub(crate) raw_query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is at the front of a buffer.
#[derive(Debug)]
pub(crate) enum Front {
    /// A plain request, which was taken out.
    Plain(Plain),
    /// The beginning of one.
    Partial,
    /// Something else. Nothing was taken out.
    Other,
}

/// Takes a plain request to a path that `takes` off the front of `buffer`. Heads and bodies up to these sizes are plain.
pub(crate) fn take(
    buffer: &mut BytesMut,
    head_max: usize,
    body_max: usize,
    takes: impl FnOnce(&str) -> bool,
) -> Front {
    let mut room = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut room);
    let head = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(head)) if head <= head_max => head,
        Ok(httparse::Status::Partial) if buffer.len() <= head_max => return Front::Partial,
        Ok(_) | Err(_) => return Front::Other,
    };
    if parsed.version != Some(1) || parsed.method != Some(Method::POST.as_str()) {
        return Front::Other;
    }
    let Some(length) = plain_length(parsed.headers).filter(|length| *length <= body_max) else {
        return Front::Other;
    };
    let Some(uri) = parsed.path.filter(|path| path.starts_with('/')) else { return Front::Other };
    let Ok(uri) = uri.parse::<Uri>() else { return Front::Other };
    if !takes(uri.path()) {
        return Front::Other;
    }
    if buffer.len() < head + length {
        return Front::Partial;
    }
    let Some(headers) = map(parsed.headers) else { return Front::Other };
    buffer.advance(head);
    Front::Plain(Plain {
        path: uri.path().to_owned(),
        raw_query: uri.query().map(str::to_owned),
        headers,
        body: buffer.split_to(length).freeze(),
    })
}

/// The length of the body, if nothing in the head asks for more than a body of that length.
fn plain_length(headers: &[httparse::Header<'_>]) -> Option<usize> {
    let mut length = None;
    for found in headers {
        let is = |name: HeaderName| found.name.eq_ignore_ascii_case(name.as_str());
        // The lengths of the names that matter: a cheap way past the others.
        match found.name.len() {
            14 if is(header::CONTENT_LENGTH) => {
                let text = std::str::from_utf8(found.value).ok()?;
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                if length.is_some() || !digits {
                    return None;
                }
                length = Some(text.parse().ok()?);
            }
            10 if is(header::CONNECTION) && !found.value.eq_ignore_ascii_case(b"keep-alive") => return None,
            17 if is(header::TRANSFER_ENCODING) => return None,
            7 if is(header::UPGRADE) => return None,
            6 if is(header::EXPECT) => return None,
            _ => {}
        }
    }
    length
}

fn map(headers: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for found in headers {
        let name = HeaderName::from_bytes(found.name.as_bytes()).ok()?;
        map.append(name, HeaderValue::from_bytes(found.value).ok()?);
    }
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> (Front, BytesMut) {
        let mut buffer = BytesMut::from(text);
        let front = take(&mut buffer, 200, 10, |path| path == "/calls");
        (front, buffer)
    }

    #[test]
    fn plain_requests_are_taken_one_by_one() {
        let text = "POST /calls?x=1 HTTP/1.1\r\nHost: h\r\ncontent-length: 3\r\nA: 1\r\nA: 2\r\n\r\nabcPOST";
        let (front, rest) = check(text);
        let Front::Plain(plain) = front else { panic!("{front:?}") };
        assert_eq!((plain.path.as_str(), plain.raw_query.as_deref()), ("/calls", Some("x=1")));
        assert_eq!((&plain.body[..], &rest[..]), (&b"abc"[..], &b"POST"[..]));
        assert_eq!(plain.headers.get_all("a").iter().count(), 2);
    }

    #[test]
    fn what_is_not_whole_waits() {
        let text = "POST /calls HTTP/1.1\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc";
        for cut in 0..text.len() {
            let (front, rest) = check(&text[..cut]);
            assert!(matches!(front, Front::Partial), "{cut}: {front:?}");
            assert_eq!(rest.len(), cut);
        }
        assert!(matches!(check(text).0, Front::Plain(_)));
    }

    #[test]
    fn all_else_is_left_alone() {
        let head = "POST /calls HTTP/1.1\r\n";
        let long = format!("{head}A: {}", "x".repeat(200));
        for text in [
            "GET /calls HTTP/1.1\r\n\r\n",
            "POST /calls HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
            "POST /other HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "POST http://h/calls HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "rubbish\r\n\r\n",
            &format!("{head}\r\n"),
            &format!("{head}Content-Length: 11\r\n\r\n"),
            &format!("{head}Content-Length: +1\r\n\r\nx"),
            &format!("{head}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
            &format!("{head}Content-Length: 99999999999999999999\r\n\r\n"),
            &format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
            &format!("{head}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            &format!("{head}Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"),
            &format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n"),
            &format!("{head}Content-Length: 0\r\nUpgrade: h2c\r\n\r\n"),
            &format!("{head}Content-Length: 0\r\nA B: 1\r\n\r\n"),
            &long,
        ] {
            let (front, rest) = check(text);
            assert!(matches!(front, Front::Other), "{text}: {front:?}");
            assert_eq!(rest, text.as_bytes());
        }
    }
}
