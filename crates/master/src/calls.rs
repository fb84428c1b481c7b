//! The bodies of calls: from bytes to a checked message, or the refusal in the words of Mesos.
//!
//! What is checked here needs no state. What needs it (unknown framework, wrong stream id) is refused by the core.

use bytes::Bytes;
use http::{Codec, HeaderMap, Response};
use proto::json::Json;
use proto::mesos::v1::{master, scheduler};

/// Decodes a body by its `Content-Type`.
pub(crate) fn decode<T: Json>(headers: &HeaderMap, body: &Bytes) -> Result<T, Response> {
    match http::content_codec(headers)? {
        Codec::Protobuf => {
            let call = proto::wire::decode(body.clone());
            call.map_err(|_| Response::bad_request("Failed to parse body into Call protobuf"))
        }
        Codec::Json => {
            let call = proto::json::from_slice(body);
            call.map_err(|error| Response::bad_request(error.body_message("Call")))
        }
    }
}

/// Encodes an answer.
pub(crate) fn encode<T: Json>(codec: Codec, message: &T) -> Response {
    match codec {
        Codec::Json => Response::ok_json(proto::json::to_vec(message, proto::json::Names::V1)),
        Codec::Protobuf => {
            Response::bytes(http::StatusCode::OK, Codec::Protobuf.media_type(), message.encode_to_vec())
        }
    }
}

/// Decodes and checks a scheduler's call.
pub(crate) fn scheduler(headers: &HeaderMap, body: &Bytes) -> Result<scheduler::Call, Response> {
    let call: scheduler::Call = decode(headers, body)?;
    let refuse = |error| Response::bad_request(format!("Failed to validate scheduler::Call: {error}"));
    proto::unions::scheduler(&call).map_err(refuse)?;
    Ok(call)
}

/// Decodes and checks an operator's call.
pub(crate) fn operator(headers: &HeaderMap, body: &Bytes) -> Result<master::Call, Response> {
    let call: master::Call = decode(headers, body)?;
    let refuse = |error| Response::bad_request(format!("Failed to validate master::Call: {error}"));
    proto::unions::master(&call).map_err(refuse)?;
    Ok(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &str) -> (u16, String) {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        let response = scheduler(&headers, &Bytes::copy_from_slice(body.as_bytes())).unwrap_err();
        (response.status.as_u16(), String::from_utf8_lossy(response.whole().unwrap()).into_owned())
    }

    #[test]
    fn scheduler_calls_are_refused_in_the_words_of_mesos() {
        let prefix = "Failed to validate scheduler::Call: ";
        for (body, message) in [
            ("{}", "Expecting 'type' to be present"),
            (r#"{"type":"NOSUCH"}"#, "Expecting 'type' to be present"),
            (r#"{"type":"REVIVE"}"#, "Expecting 'framework_id' to be present"),
            (r#"{"type":"SUBSCRIBE"}"#, "Expecting 'subscribe' to be present"),
            (r#"{"type":"ACCEPT","framework_id":{"value":"f"}}"#, "Expecting 'accept' to be present"),
            (
                r#"{"type":"SUBSCRIBE","framework_id":{"value":"x"},"subscribe":{"framework_info":{"user":"u","name":"n","id":{"value":"y"}}}}"#,
                "'framework_id' differs from 'subscribe.framework_info.id'",
            ),
            (
                r#"{"type":"ACKNOWLEDGE","framework_id":{"value":"f"},"acknowledge":{"agent_id":{"value":"a"},"task_id":{"value":"t"},"uuid":"aGk="}}"#,
                "Not a valid UUID",
            ),
        ] {
            assert_eq!(refusal(body), (400, format!("{prefix}{message}")), "{body}");
        }
    }
}
