//! An endpoint that answers as a test wants it, and keeps what it was sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crate::played::{self, Request, Response};

pub struct Server {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Passes the challenge; answers the nth POST, from 0, as `script` says.
    pub fn answering(script: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        Self::start(move |request, n| match request.target.split_once("challenge=") {
            Some((_, value)) => Response::new(200, value).header("content-type", "text/plain"),
            None => Response::new(script(n), ""),
        })
    }

    /// `script` is told how many POSTs came before.
    pub fn start(script: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> Self {
        let posts = Arc::<Mutex<Vec<Request>>>::default();
        let kept = Arc::clone(&posts);
        let address = played::serve(move |request| {
            let before = {
                let mut posts = kept.lock().unwrap();
                let before = posts.len();
                if request.method == "POST" {
                    posts.push(request.clone());
                }
                before
            };
            script(request, before)
        });
        Self { address, posts }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1/under-test", self.address)
    }

    pub fn posts(&self) -> Vec<Request> {
        self.posts.lock().unwrap().clone()
    }
}
