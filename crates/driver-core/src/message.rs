//! The libprocess messages that drivers hear and say, as closed lists: one pair for each driver.
//!
//! A message's name on the wire is its protobuf full name; its body is the serialised message.

use proto::wire::WireError;
use thiserror::Error;

/// Why a message is dropped.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DecodeError {
    /// No handler has that name; such messages are dropped without a word.
    #[error("no handler for message '{0}'")]
    Unknown(String),
    /// The body is not a message of that name.
    #[error("failed to parse '{name}': {reason}")]
    Malformed {
        /// The message's name.
        name: &'static str,
        /// What the decoder says.
        reason: WireError,
    },
}

macro_rules! messages {
    ($(#[$list_doc:meta])* $list:ident { $($(#[$doc:meta])* $variant:ident($package:ident::$body:ident);)* }) => {
        $(#[$list_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $list {
            $($(#[$doc])* $variant(Box<$package::$body>),)*
        }

        impl $list {
            /// Decodes the body of the message of this name.
            pub fn decode(name: &str, body: &[u8]) -> Result<Self, $crate::DecodeError> {
                match name {
                    $(concat!("mesos.", stringify!($package), ".", stringify!($body)) => {
                        proto::wire::decode::<$package::$body>(body)
                            .map(|body| Self::$variant(Box::new(body)))
                            .map_err(|reason| $crate::DecodeError::Malformed {
                                name: concat!("mesos.", stringify!($package), ".", stringify!($body)),
                                reason,
                            })
                    })*
                    _ => Err($crate::DecodeError::Unknown(name.chars().take(256).collect())),
                }
            }

            /// Reads the body of the message of this name from JSON with v0 names: for scripts of tests. None for
            /// other names.
            #[must_use]
            pub fn from_json(name: &str, body: &str) -> Option<Result<Self, proto::json::JsonError>> {
                match name {
                    $(stringify!($body) => Some(
                        proto::json::from_slice_v0::<$package::$body>(body.as_bytes())
                            .map(|body| Self::$variant(Box::new(body))),
                    ),)*
                    _ => None,
                }
            }

            /// The message's name on the wire.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => concat!("mesos.", stringify!($package), ".", stringify!($body)),)*
                }
            }

            /// The message's body on the wire.
            #[must_use]
            pub fn encode(&self) -> bytes::Bytes {
                match self {
                    $(Self::$variant(body) => bytes::Bytes::from(prost::Message::encode_to_vec(&**body)),)*
                }
            }
        }

        impl std::fmt::Display for $list {
            /// The name without its package, and the body as JSON with v0 names.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$variant(body) => {
                        let body = proto::json::to_string(&**body, proto::json::Names::V0);
                        write!(f, "{} {body}", stringify!($body))
                    })*
                }
            }
        }
    };
}

pub(crate) use messages;
