//! Adobe's side: an identity provider that grants tokens, and a journal in pages.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use crate::played::{Request, Response, serve};

pub const ORGANIZATION: &str = "4D1@AdobeOrg";
pub const SECRET: &str = "hunter2-of-adobe";
pub const CLIENT: &str = "client-of-the-journal";
/// What every token begins with.
pub const ACCESS: &str = "hunter2-access-";

/// What it takes once it has told [`Adobe::replaces_its_secret`]'s file so.
pub const NEXT_SECRET: &str = "hunter2-of-adobe-next";

pub struct Adobe {
    address: SocketAddr,
    world: Arc<Mutex<World>>,
}

struct World {
    events: usize,
    page: usize,
    /// What is beside the element of that number.
    beside: Option<(usize, String)>,
    granted: usize,
    /// Pages that a token is good for.
    uses: usize,
    used: usize,
    refuses_credentials: bool,
    secret: &'static str,
    /// Where the next secret is put with the first token.
    secret_file: Option<PathBuf>,
    answers_first: Vec<u16>,
    first_query: Option<String>,
}

impl Adobe {
    /// A journal of so many events, at most `page` of them at once.
    pub fn new(events: usize, page: usize) -> Self {
        let world = Arc::new(Mutex::new(World {
            events,
            page,
            beside: None,
            granted: 0,
            uses: usize::MAX,
            used: 0,
            refuses_credentials: false,
            secret: SECRET,
            secret_file: None,
            answers_first: Vec::new(),
            first_query: None,
        }));
        let shared = Arc::clone(&world);
        let address = serve(move |request| shared.lock().unwrap().answer(request));
        Self { address, world }
    }

    pub fn goes_on_to(&mut self, events: usize) {
        self.world.lock().unwrap().events = events;
    }

    /// The element of that number has `member` beside its event.
    pub fn puts_beside(self, index: usize, member: &str) -> Self {
        self.world.lock().unwrap().beside = Some((index, member.to_owned()));
        self
    }

    pub fn answers_first(self, statuses: &[u16]) -> Self {
        self.world.lock().unwrap().answers_first = statuses.to_vec();
        self
    }

    pub fn revokes_after(self, pages: usize) -> Self {
        self.world.lock().unwrap().uses = pages;
        self
    }

    pub fn refuses_credentials(self) -> Self {
        self.world.lock().unwrap().refuses_credentials = true;
        self
    }

    /// Gives one token for [`SECRET`]; from then on the secret is the one that it writes into `file`.
    pub fn replaces_its_secret(self, file: &Path) -> Self {
        self.world.lock().unwrap().secret_file = Some(file.into());
        self
    }

    pub fn journal_url(&self) -> String {
        format!("http://{}/events/journal", self.address)
    }

    pub fn token_url(&self) -> String {
        format!("http://{}/ims/token/v3", self.address)
    }

    pub fn elements(&self) -> Vec<String> {
        let world = self.world.lock().unwrap();
        (0..world.events).map(|index| world.element(index)).collect()
    }

    pub fn tokens_granted(&self) -> usize {
        self.world.lock().unwrap().granted
    }

    pub fn first_query(&self) -> Option<String> {
        self.world.lock().unwrap().first_query.clone()
    }
}

/// A flat event, without a recipient.
pub fn event(index: usize) -> String {
    let data = r#"{"munchkinId":"999-XYZ-000","leadId":"7","n" : 1.0e2}"#;
    format!(
        r#"{{"specversion":"1.0","type":"com.adobe.platform.marketo.activity.standard.openemail","source":"urn:marketo_activity_stream","id":"e{index}","data":{data}}}"#
    )
}

impl World {
    /// Spaces and numbers that a parser would write otherwise.
    fn element(&self, index: usize) -> String {
        let beside = self.beside.as_ref().filter(|(at, _)| *at == index);
        let beside = beside.map_or("", |(_, member)| member);
        format!(r#"{{"position":"p{index}", {beside}"event":{}}}"#, event(index))
    }

    fn answer(&mut self, request: &Request) -> Response {
        if request.target.starts_with("/ims/") {
            return self.grant(request);
        }
        if let Some(status) = (!self.answers_first.is_empty()).then(|| self.answers_first.remove(0))
        {
            return Response::new(status, "").header("retry-after", "0");
        }
        let token = format!("Bearer {ACCESS}{}", self.granted);
        let known = request.header("authorization") == Some(&token)
            && request.header("x-api-key") == Some(CLIENT)
            && request.header("x-ims-org-id") == Some(ORGANIZATION);
        self.used += 1;
        if !known || self.used > self.uses {
            return Response::new(401, "");
        }
        self.page(request)
    }

    fn grant(&mut self, request: &Request) -> Response {
        let form = String::from_utf8(request.body.clone()).unwrap();
        let good = form.contains("grant_type=client_credentials")
            && form.contains(&format!("client_id={CLIENT}"))
            && form.contains(&format!("client_secret={}&", self.secret))
            && form.contains("scope=openid%2CAdobeID%2Cadobeio_api");
        if !good || self.refuses_credentials {
            return Response::new(400, r#"{"error":"invalid_client"}"#);
        }
        if let Some(file) = self.secret_file.take() {
            std::fs::write(file, NEXT_SECRET).unwrap();
            self.secret = NEXT_SECRET;
        }
        self.granted += 1;
        self.used = 0;
        let token = format!("{ACCESS}{}", self.granted);
        let body =
            format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":86399}}"#);
        Response::new(200, body)
    }

    fn page(&mut self, request: &Request) -> Response {
        let query = request.query();
        self.first_query.get_or_insert(query.unwrap_or_default().to_owned());
        let since = query.and_then(|query| query.strip_prefix("since="));
        let from = match since {
            Some("too-old") => return Response::new(410, ""),
            Some(position) => position.strip_prefix('p').unwrap().parse::<usize>().unwrap() + 1,
            None => 0,
        };
        let to = self.events.min(from + self.page);
        if from == to {
            return Response::new(204, "").header("retry-after", "10");
        }
        let elements: Vec<_> = (from..to).map(|index| self.element(index)).collect();
        let (last, count) = (to - 1, to - from);
        let body = format!(
            r#"{{"events":[{}],"_page":{{"last":"p{last}","count":{count}}}}}"#,
            elements.join(" ,\n")
        );
        Response::new(200, body)
            .header("link", format!("</events/journal?since=p{last}>; rel=\"next\""))
    }
}
