//! The bodies of calls: from bytes to a message, or the refusal in the words of Mesos; and answers back to bytes.

use bytes::Bytes;
use http::{Codec, Response, StatusCode};
use proto::json::{Json, Names};

/// Decodes a body.
pub(crate) fn decode<T: Json>(codec: Codec, body: &Bytes) -> Result<T, Response> {
    match codec {
        Codec::Protobuf => {
            let call = proto::wire::decode(body.clone());
            call.map_err(|_| Response::bad_request("Failed to parse body into Call protobuf"))
        }
        Codec::Json => {
            proto::json::from_slice(body).map_err(|error| Response::bad_request(error.body_message("Call")))
        }
    }
}

/// Encodes an answer.
pub(crate) fn encode<T: Json>(codec: Codec, message: &T) -> Response {
    match codec {
        Codec::Json => Response::ok_json(proto::json::to_vec(message, Names::V1)),
        Codec::Protobuf => {
            Response::bytes(StatusCode::OK, Codec::Protobuf.media_type(), message.encode_to_vec())
        }
    }
}
