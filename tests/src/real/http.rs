//! One HTTP GET inside a namespace: all that Envoy's admin interface and the tests' services need.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use netlink::Netns;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Gets `path` from `address`, connecting from inside `netns`.
///
/// # Errors
/// If the connection fails or the answer is no HTTP.
pub fn get(netns: &Netns, address: SocketAddr, path: &str) -> Result<Response, Error> {
    get_within(Duration::from_secs(10), netns, address, path)
}

/// The same with this much patience for each step.
///
/// # Errors
/// If the connection fails or the answer is no HTTP.
pub fn get_within(
    limit: Duration,
    netns: &Netns,
    address: SocketAddr,
    path: &str,
) -> Result<Response, Error> {
    let answer = netns.run(|| exchange(limit, address, path)).map_err(Error::other)??;
    parse(&answer).ok_or_else(|| {
        Error::new(ErrorKind::InvalidData, format!("no HTTP: {}", String::from_utf8_lossy(&answer)))
    })
}

fn exchange(limit: Duration, address: SocketAddr, path: &str) -> Result<Vec<u8>, Error> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    // In one piece: `write!` to a socket would send each of its parts alone.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A whole answer as it came; `None` if it is cut or no HTTP.
pub(crate) fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[end + 4..];
    let is_chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    let body = if is_chunked { join_chunks(body)? } else { body.to_vec() };
    Some(Response { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// RFC 9112, section 7.1.
fn join_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_joined() {
        let answer =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nab\r\n\r\n1;x\r\nc\r\n0\r\n\r\n";

        let response = parse(answer).unwrap();

        assert_eq!((response.status, response.body.as_str()), (200, "ab\r\nc"));
    }

    #[test]
    fn a_cut_answer_is_no_answer() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab"), None);
    }
}
