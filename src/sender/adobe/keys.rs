//! Publishes the public keys for the service under test: over HTTP, as Adobe's host does, or as files in
//! a folder that has the same layout.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

use super::signature::{KEYS_FOLDER, Keys};

/// Writes both public keys below `folder`, as `prod/keys/<file>`.
pub fn write(keys: &Keys, folder: &Path) -> io::Result<()> {
    let folder = folder.join(KEYS_FOLDER.trim_matches('/'));
    fs::create_dir_all(&folder)?;
    for (name, pem) in keys.files() {
        fs::write(folder.join(name), pem)?;
    }
    Ok(())
}

/// Pause after a failed accept.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// Answers GETs of the keys' paths until it is dropped.
pub struct KeyServer {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl KeyServer {
    pub async fn start(keys: Arc<Keys>, address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    // The error may be that of one connection, or of all for a while.
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                };
                let keys = Arc::clone(&keys);
                tokio::spawn(async move {
                    let answer = service_fn(|request| {
                        let answer = answer(&keys, &request);
                        async { Ok::<_, std::convert::Infallible>(answer) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new();
                    // The end of a connection does not matter to the server.
                    let _ = connection.serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Ok(Self { address, serving })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn answer(keys: &Keys, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let wanted = request.uri().path().strip_prefix(KEYS_FOLDER);
    let found = keys.files().into_iter().find(|(name, _)| wanted == Some(*name));
    let mut answer = Response::new(Full::default());
    match found {
        Some((_, pem)) if request.method() == Method::GET => {
            *answer.body_mut() = Full::new(Bytes::copy_from_slice(pem.as_bytes()));
            let kind = http::HeaderValue::from_static("application/x-pem-file");
            answer.headers_mut().insert(CONTENT_TYPE, kind);
        }
        _ => *answer.status_mut() = StatusCode::NOT_FOUND,
    }
    answer
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_public_key_is_at_its_path_and_in_its_file_and_nothing_else_is_there() {
        let keys = Arc::new(Keys::generate("Test").unwrap());
        let folder = tempfile::tempdir().unwrap();
        write(&keys, folder.path()).unwrap();
        let anywhere = (std::net::Ipv4Addr::LOCALHOST, 0).into();
        let server = KeyServer::start(Arc::clone(&keys), anywhere).await.unwrap();
        for (path, (_, pem)) in keys.paths().iter().zip(keys.files()) {
            let answer = get(server.address(), path).await;
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(pem), "{answer}");
            let file = folder.path().join(path.trim_start_matches('/'));
            assert_eq!(fs::read_to_string(file).unwrap(), pem);
        }
        for path in ["/", "/prod/keys/", "/prod/keys/pub-key-TestA.pem/..", "/pub-key-TestA.pem"] {
            let answer = get(server.address(), path).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        }
    }
}
