//! The head of one request, as far as messages need it. Pure: bytes in, parts out.

/// More header lines than this are no message.
const LINES_MAX: usize = 100;

/// The parts of a request head that decide whether it is a message, from whom, to whom, and where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// HTTP/1.0 rather than HTTP/1.1.
    pub old: bool,
    /// `User-Agent`.
    pub user_agent: Option<&'a str>,
    /// `Libprocess-From`.
    pub libprocess_from: Option<&'a str>,
    /// The body comes in chunks.
    pub chunked: bool,
    /// `Content-Length`, not yet read as a number.
    pub content_length: Option<&'a str>,
    /// `Connection`.
    pub connection: Option<&'a str>,
    /// The sender waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl<'a> Head<'a> {
    /// Reads a head without the empty line at its end. `None` if it is not one.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let mut head = Self::request_line(lines.next()?)?;
        for (count, line) in lines.enumerate() {
            let (name, value) = line.split_once(':')?;
            if count >= LINES_MAX || name.is_empty() || name.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
            {
                return None;
            }
            head.header(name, value.trim())?;
        }
        Some(head)
    }

    fn request_line(line: &'a str) -> Option<Self> {
        let (method, rest) = line.split_once(' ')?;
        let (target, version) = rest.split_once(' ')?;
        let old = match version {
            "HTTP/1.0" => true,
            "HTTP/1.1" => false,
            _ => return None,
        };
        Some(Self { method, target, old, ..Self::default() })
    }

    fn header(&mut self, name: &str, value: &'a str) -> Option<()> {
        // The length decides first: a cheap way past the many headers that do not matter.
        match name.len() {
            10 if name.eq_ignore_ascii_case("user-agent") => self.user_agent = Some(value),
            10 if name.eq_ignore_ascii_case("connection") => self.connection = Some(value),
            15 if name.eq_ignore_ascii_case("libprocess-from") => self.libprocess_from = Some(value),
            14 if name.eq_ignore_ascii_case("content-length") => {
                // Two lengths that differ are an attempt to confuse.
                if self.content_length.is_some_and(|other| other != value) {
                    return None;
                }
                self.content_length = Some(value);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if !value.eq_ignore_ascii_case("chunked") {
                    return None;
                }
                self.chunked = true;
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expects_continue = value.eq_ignore_ascii_case("100-continue");
            }
            _ => {}
        }
        Some(())
    }

    /// Whether this request is a message rather than HTTP proper.
    pub fn is_message(&self) -> bool {
        is_message(self.method, self.user_agent, self.libprocess_from)
    }

    /// The sender's address as text, if this is a message.
    pub fn sender(&self) -> Option<&'a str> {
        sender(self.user_agent, self.libprocess_from)
    }

    /// Whether the connection stays open after this request.
    pub fn keeps_alive(&self) -> bool {
        let says = |word: &str| {
            let mut words = self.connection.unwrap_or_default().split(',');
            words.any(|said| said.trim().eq_ignore_ascii_case(word))
        };
        if self.old { says("keep-alive") } else { !says("close") }
    }
}

const AGENT_PREFIX: &str = "libprocess/";

/// The rule by which libprocess tells messages from HTTP: a POST by another libprocess, or by someone who names the
/// process that speaks.
pub(crate) fn is_message(method: &str, user_agent: Option<&str>, libprocess_from: Option<&str>) -> bool {
    let by_agent = || user_agent.is_some_and(|agent| agent.starts_with(AGENT_PREFIX));
    method == "POST" && (libprocess_from.is_some() || by_agent())
}

/// Who speaks. `Libprocess-From` wins.
pub(crate) fn sender<'a>(user_agent: Option<&'a str>, libprocess_from: Option<&'a str>) -> Option<&'a str> {
    let by_agent = || user_agent.and_then(|agent| agent.strip_prefix(AGENT_PREFIX));
    libprocess_from.or_else(by_agent).map(str::trim)
}

/// Splits `/slave(1)/mesos.internal.Ping?x` into the process, decoded, and the message's name.
pub(crate) fn receiver(target: &str) -> Option<(String, &str)> {
    let path = target.split('?').next().unwrap_or_default().strip_prefix('/')?;
    let (process, name) = path.split_once('/').unwrap_or((path, ""));
    Some((http::percent_decode(process)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_messages() {
        let post = |headers: &str| format!("POST /master/mesos.internal.X HTTP/1.1{headers}");
        for (text, message) in [
            (post("\r\nUser-Agent: libprocess/a@1.2.3.4:5"), true),
            (post("\r\nlibprocess-from: a@1.2.3.4:5"), true),
            (post("\r\nUser-Agent: curl"), false),
            (post("\r\nUser-Agent: not libprocess/a@1.2.3.4:5"), false),
            (post(""), false),
            ("GET / HTTP/1.1\r\nLibprocess-From: a@1.2.3.4:5".to_owned(), false),
        ] {
            let head = Head::parse(text.as_bytes()).expect(&text);
            assert_eq!(head.is_message(), message, "{text}");
        }
    }

    #[test]
    fn libprocess_from_wins() {
        let text = "POST / HTTP/1.0\r\nUser-Agent: libprocess/b@2.2.2.2:2\r\nLibprocess-From:  a@1.1.1.1:1 ";
        assert_eq!(Head::parse(text.as_bytes()).and_then(|head| head.sender()), Some("a@1.1.1.1:1"));
    }

    #[test]
    fn refuses_what_is_no_head() {
        for text in [
            "",
            "POST /",
            "POST / HTTP/2.0",
            "POST / HTTP/1.1\r\nno colon",
            "POST / HTTP/1.1\r\nname with space: x",
            "POST / HTTP/1.1\r\n: x",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip",
            "POST / HTTP/1.1\r\nx: \u{fffd}\0\nok: x y\r\nb ad: x",
        ] {
            assert_eq!(Head::parse(text.as_bytes()), None, "{text}");
        }
        let many = format!("POST / HTTP/1.1{}", "\r\na: b".repeat(LINES_MAX + 1));
        assert_eq!(Head::parse(many.as_bytes()), None);
        assert_eq!(Head::parse(b"\xff"), None);
    }

    #[test]
    fn keeping_alive() {
        for (text, kept) in [
            ("POST / HTTP/1.1", true),
            ("POST / HTTP/1.1\r\nConnection: Close", false),
            ("POST / HTTP/1.0", false),
            ("POST / HTTP/1.0\r\nConnection: x, Keep-Alive", true),
        ] {
            assert_eq!(Head::parse(text.as_bytes()).map(|head| head.keeps_alive()), Some(kept), "{text}");
        }
    }

    #[test]
    fn receivers() {
        for (target, expected) in [
            ("/master/mesos.internal.X", Some(("master", "mesos.internal.X"))),
            ("/slave%281%29/a/b?c", Some(("slave(1)", "a/b"))),
            ("/master", Some(("master", ""))),
            ("/", Some(("", ""))),
            ("master/x", None),
            ("/%zz/x", None),
        ] {
            let received = receiver(target);
            assert_eq!(
                received.as_ref().map(|(process, name)| (process.as_str(), *name)),
                expected,
                "{target}"
            );
        }
    }
}
