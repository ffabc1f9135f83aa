//! millrace's side: takes deliveries, and counts as the real one does.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use serde_json::value::RawValue;

use crate::{
    TOKEN,
    played::{Request, Response, serve},
};

pub struct Service {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    elements: Vec<String>,
    answers_first: Vec<u16>,
    known: usize,
    unidentified: usize,
    authorization: String,
    /// Asks for another token after each delivery, and writes it there.
    token_file: Option<PathBuf>,
}

impl Service {
    pub fn new() -> Self {
        let authorization = format!("Bearer {TOKEN}");
        let world = Arc::new(Mutex::new(World { authorization, ..World::default() }));
        let shared = Arc::clone(&world);
        let address = serve(move |request| shared.lock().unwrap().answer(request));
        Self { address, world }
    }

    /// So many of what comes it has already.
    pub fn knows(self, events: usize) -> Self {
        self.world.lock().unwrap().known = events;
        self
    }

    pub fn without_id(self, events: usize) -> Self {
        self.world.lock().unwrap().unidentified = events;
        self
    }

    /// What it wants to see in the header.
    pub fn asks_for(self, authorization: &str) -> Self {
        self.world.lock().unwrap().authorization = authorization.into();
        self
    }

    pub fn replaces_its_token(self, file: &Path) -> Self {
        self.world.lock().unwrap().token_file = Some(file.into());
        self
    }

    pub fn answers_first(self, statuses: &[u16]) -> Self {
        self.world.lock().unwrap().answers_first = statuses.to_vec();
        self
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn elements(&self) -> Vec<String> {
        self.world.lock().unwrap().elements.clone()
    }
}

impl World {
    fn answer(&mut self, request: &Request) -> Response {
        match request.target.as_str() {
            "/metrics" => Response::new(200, self.metrics()),
            "/v1/io" => self.take(request),
            _ => Response::new(404, ""),
        }
    }

    fn take(&mut self, request: &Request) -> Response {
        if !self.answers_first.is_empty() {
            return Response::new(self.answers_first.remove(0), "").header("retry-after", "0");
        }
        if request.header("authorization") != Some(&self.authorization) {
            return Response::new(401, "");
        }
        if request.header("millrace-origin") != Some("journal") {
            return Response::new(503, "");
        }
        let elements: Vec<&RawValue> = serde_json::from_slice(&request.body).unwrap();
        self.elements.extend(elements.iter().map(|element| element.get().to_owned()));
        if let Some(file) = &self.token_file {
            let token = format!("{TOKEN}-{}", self.elements.len());
            fs::write(file, &token).unwrap();
            self.authorization = format!("Bearer {token}");
        }
        Response::new(200, "stored")
    }

    /// Nothing is counted before it came.
    fn metrics(&self) -> String {
        let total = self.elements.len();
        let (known, unidentified) = (self.known.min(total), self.unidentified.min(total));
        let missed = total.saturating_sub(known + unidentified);
        let line = |result: &str, n: usize| {
            format!("millrace_journal_events_total{{result=\"{result}\",source=\"io\"}} {n}\n")
        };
        line("missed", missed) + &line("known", known) + &line("unidentified", unidentified)
    }
}
