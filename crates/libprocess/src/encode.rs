//! The bytes of one outgoing message, exactly those that C++ libprocess writes.

use types::Pid;

/// Appends one message. The order of the headers, their case and the chunked body are those of libprocess, whose peers
/// compare some of it byte by byte; an empty body has no length header at all.
pub fn encode_message(out: &mut Vec<u8>, from: &Pid, to: &Pid, name: &str, body: &[u8]) {
    encode(out, &from.id, &from.address.to_string(), &to.id, &to.address.to_string(), name, body);
}

/// The same from texts that a connection knows already.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    from_id: &str,
    from_address: &str,
    to_id: &str,
    to_address: &str,
    name: &str,
    body: &[u8],
) {
    out.reserve(
        160 + 2 * (from_id.len() + from_address.len())
            + to_id.len()
            + to_address.len()
            + name.len()
            + body.len(),
    );
    out.extend_from_slice(b"POST ");
    if !to_id.is_empty() {
        out.push(b'/');
        push_segment(out, to_id);
    }
    out.push(b'/');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nUser-Agent: libprocess/");
    push_pid(out, from_id, from_address);
    out.extend_from_slice(b"\r\nLibprocess-From: ");
    push_pid(out, from_id, from_address);
    out.extend_from_slice(b"\r\nConnection: Keep-Alive\r\nHost: ");
    out.extend_from_slice(to_address.as_bytes());
    if body.is_empty() {
        out.extend_from_slice(b"\r\n\r\n");
        return;
    }
    out.extend_from_slice(b"\r\nTransfer-Encoding: chunked\r\n\r\n");
    push_hex(out, body.len());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n0\r\n\r\n");
}

fn push_pid(out: &mut Vec<u8>, id: &str, address: &str) {
    out.extend_from_slice(id.as_bytes());
    out.push(b'@');
    out.extend_from_slice(address.as_bytes());
}

/// Ids of Mesos's own go as they are, parentheses too. Only what would break the request line is escaped.
fn push_segment(out: &mut Vec<u8>, id: &str) {
    for byte in id.bytes() {
        if byte <= b' ' || byte >= 0x7f || matches!(byte, b'%' | b'/' | b'?' | b'#') {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
}

fn push_hex(out: &mut Vec<u8>, value: usize) {
    let significant = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..significant).rev() {
        out.push(b"0123456789abcdef"[value >> (place * 4) & 15]);
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(from: &str, to: &str, name: &str, body: &[u8], expected: Expect) {
        let mut out = Vec::new();
        encode_message(&mut out, &from.parse().unwrap(), &to.parse().unwrap(), name, body);
        expected.assert_eq(&String::from_utf8(out).unwrap().replace("\r\n", "\\r\\n\n"));
    }

    #[test]
    fn a_message_has_the_bytes_of_libprocess() {
        check(
            "slave(1)@127.0.0.1:5051",
            "master@127.0.0.1:5050",
            "mesos.internal.PongSlaveMessage",
            &[b'x'; 26],
            expect![[r#"
                POST /master/mesos.internal.PongSlaveMessage HTTP/1.1\r\n
                User-Agent: libprocess/slave(1)@127.0.0.1:5051\r\n
                Libprocess-From: slave(1)@127.0.0.1:5051\r\n
                Connection: Keep-Alive\r\n
                Host: 127.0.0.1:5050\r\n
                Transfer-Encoding: chunked\r\n
                \r\n
                1a\r\n
                xxxxxxxxxxxxxxxxxxxxxxxxxx\r\n
                0\r\n
                \r\n
            "#]],
        );
    }

    #[test]
    fn an_empty_body_has_no_length() {
        check(
            "master@10.0.0.1:5050",
            "slave(1)@10.0.0.2:5051",
            "mesos.internal.PingSlaveMessage",
            b"",
            expect![[r#"
                POST /slave(1)/mesos.internal.PingSlaveMessage HTTP/1.1\r\n
                User-Agent: libprocess/master@10.0.0.1:5050\r\n
                Libprocess-From: master@10.0.0.1:5050\r\n
                Connection: Keep-Alive\r\n
                Host: 10.0.0.2:5051\r\n
                \r\n
            "#]],
        );
    }

    #[test]
    fn hexadecimal() {
        for value in [0, 1, 15, 16, 255, 256, 0xabcdef, usize::MAX] {
            let mut out = Vec::new();
            push_hex(&mut out, value);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{value:x}"));
        }
    }
}
