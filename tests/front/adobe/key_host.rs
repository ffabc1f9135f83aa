//! A host that keys are fetched from. It notes what it is asked for, and answers what it was told to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use reqwest::Url;
use tokio::{runtime::Handle, sync::watch};

use crate::played::{self, Request, Response};

#[derive(Clone)]
pub enum Says {
    Answer(Response),
    /// Nothing, and closes.
    Nothing,
    /// As the inner one, once it was released.
    Later(Box<Says>),
}

impl Says {
    pub fn text(text: &str) -> Self {
        Self::Answer(Response::new(200, text))
    }
}

#[derive(Clone)]
pub struct KeyHost {
    pub url: Url,
    inner: Arc<Inner>,
}

struct Inner {
    says: Mutex<HashMap<String, Says>>,
    /// The request lines.
    asked: watch::Sender<Vec<String>>,
    released: watch::Sender<bool>,
}

impl KeyHost {
    /// In a runtime, which it waits with.
    pub fn start() -> Self {
        let inner = Arc::new(Inner {
            says: Mutex::default(),
            asked: watch::Sender::new(Vec::new()),
            released: watch::Sender::new(false),
        });
        let (answering, runtime) = (inner.clone(), Handle::current());
        let address = played::serve(move |request| answering.answer(request, &runtime));
        Self { url: format!("http://{address}").parse().unwrap(), inner }
    }

    pub fn says(&self, path: &str, says: Says) {
        self.inner.says.lock().unwrap().insert(path.to_owned(), says);
    }

    pub fn release(&self) {
        self.inner.released.send_replace(true);
    }

    /// The request lines so far.
    pub fn asked(&self) -> Vec<String> {
        self.inner.asked.borrow().clone()
    }

    pub async fn was_asked(&self, times: usize) {
        let mut asked = self.inner.asked.subscribe();
        crate::support::within(asked.wait_for(|asked| asked.len() >= times)).await.unwrap();
    }
}

impl Inner {
    fn answer(&self, request: &Request, runtime: &Handle) -> Option<Response> {
        let line = format!("{} {} HTTP/1.1", request.method, request.target);
        self.asked.send_modify(|asked| asked.push(line));
        let mut says = self.says.lock().unwrap().get(&request.target).cloned();
        if let Some(Says::Later(later)) = says {
            let mut released = self.released.subscribe();
            runtime.block_on(released.wait_for(|released| *released)).ok()?;
            says = Some(*later);
        }
        match says {
            Some(Says::Answer(response)) => Some(response),
            Some(Says::Nothing | Says::Later(_)) => None,
            None => Some(Response::new(404, "")),
        }
    }
}
