//! Bodies to messages and messages to bodies, in the codec that was negotiated, with the refusals of Mesos word for word.

use bytes::Bytes;
use http_types::{HeaderMap, StatusCode};
use proto::json::{self, Json, JsonError, Names};
use proto::wire;

use crate::negotiate::{Codec, content_codec};
use crate::response::Response;

/// Reads the call that a request carries: its codec, then the message. For the endpoints of schedulers, executors, resource
/// providers and the master's operators.
pub fn read_call<T: Json>(headers: &HeaderMap, body: &Bytes) -> Result<T, Response> {
    decode_call(content_codec(headers)?, body)
}

/// Decodes a call.
pub fn decode_call<T: Json>(codec: Codec, body: &Bytes) -> Result<T, Response> {
    match codec {
        Codec::Json => {
            json::from_slice(body).map_err(|error| Response::bad_request(error.body_message("Call")))
        }
        // COMPAT(mesos): a missing required field is no other failure than bytes that are no protobuf.
        Codec::Protobuf => wire::decode(body.clone())
            .map_err(|_| Response::bad_request("Failed to parse body into Call protobuf")),
    }
}

/// Decodes a call to the agent's operators' endpoint, or a record of a stream of them. Mesos has other words there.
pub fn decode_agent_call<T: Json>(codec: Codec, body: &Bytes) -> Result<T, Response> {
    match codec {
        Codec::Json => json::from_slice(body).map_err(|error| match error {
            JsonError::Syntax(_) => Response::bad_request(error.body_message("Call")),
            JsonError::Convert(_) | JsonError::Missing(_) => Response::bad_request(error.to_string()),
        }),
        Codec::Protobuf => wire::decode(body.clone())
            .map_err(|_| Response::bad_request("Failed to parse body into a protobuf object")),
    }
}

/// Decodes what a server sent: an event of a stream or the body of an answer.
pub fn decode_event<T: Json>(codec: Codec, record: &Bytes) -> Result<T, String> {
    match codec {
        Codec::Json => json::from_slice(record).map_err(|error| error.to_string()),
        Codec::Protobuf => wire::decode(record.clone()).map_err(|error| error.to_string()),
    }
}

/// Writes a message. JSON has the names of v1.
pub fn encode<T: Json>(codec: Codec, message: &T) -> Bytes {
    match codec {
        Codec::Json => json::to_vec(message, Names::V1).into(),
        Codec::Protobuf => message.encode_to_vec().into(),
    }
}

/// `200 OK` with a message.
pub fn answer<T: Json>(codec: Codec, message: &T) -> Response {
    Response::bytes(StatusCode::OK, codec.media_type(), encode(codec, message))
}

#[cfg(test)]
mod tests {
    use http_types::{HeaderMap, HeaderValue};
    use proto::mesos::v1::scheduler::{Call, call};

    use super::*;

    fn refusal(content_type: &'static str, body: &'static [u8]) -> (u16, String) {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(content_type));
        let refused = read_call::<Call>(&headers, &Bytes::from_static(body)).unwrap_err();
        (refused.status.as_u16(), String::from_utf8(refused.whole().unwrap().to_vec()).unwrap())
    }

    #[test]
    fn refusals_are_those_recorded() {
        let json = "application/json";
        for (content_type, body, status, words) in [
            (json, &b"{\"type\":"[..], 400, "Failed to parse body into JSON: syntax error at line 1 near: "),
            ("application/x-protobuf", b"\xff\xff\xff", 400, "Failed to parse body into Call protobuf"),
            (
                "text/plain",
                b"x",
                415,
                "Expecting 'Content-Type' of application/json or application/x-protobuf",
            ),
        ] {
            assert_eq!(refusal(content_type, body), (status, words.to_owned()));
        }
        let (status, words) =
            refusal(json, br#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"x"}}}"#);
        assert_eq!(status, 400);
        let expected = "Failed to convert JSON into Call protobuf: Missing required fields: ";
        assert!(words.starts_with(expected), "{words}");
    }

    #[test]
    fn both_codecs_carry_a_call() {
        let call = Call { r#type: Some(call::Type::Revive.into()), ..Call::default() };
        for codec in [Codec::Json, Codec::Protobuf] {
            let body = encode(codec, &call);
            assert_eq!(decode_call::<Call>(codec, &body).unwrap(), call);
            assert_eq!(decode_agent_call::<Call>(codec, &body).unwrap(), call);
            assert_eq!(decode_event::<Call>(codec, &body), Ok(call.clone()));
            assert_eq!(answer(codec, &call).headers["content-type"], codec.media_type());
        }
    }
}
