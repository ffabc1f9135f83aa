//! A plain load balancer before several services, as a Kubernetes Service is one: each new connection
//! goes to the next backend whose readiness says yes, and nothing is tried a second time. What a
//! backend does to its connections the sender sees.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::http::Client;

/// From one look at the backends' readiness to the next; Kubernetes looks every few seconds.
const LOOK: Duration = Duration::from_millis(20);

/// Its threads end with the process.
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    backends: Mutex<Vec<Backend>>,
    turn: AtomicUsize,
    turned_away: AtomicU64,
}

struct Backend {
    deliveries: SocketAddr,
    admin: SocketAddr,
    ready: bool,
    connections: u64,
}

impl Balancer {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::<Shared>::default();
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                for client in listener.incoming().map_while(Result::ok) {
                    shared.connect(client);
                }
            }
        });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                loop {
                    shared.look();
                    thread::sleep(LOOK);
                }
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `place`th backend is at these addresses from now on, where deliveries go and where readiness
    /// is told. A service that was started again has others than before.
    pub fn set(&self, place: usize, (deliveries, admin): (SocketAddr, SocketAddr)) {
        let mut backends = self.shared.backends();
        let backend = Backend { deliveries, admin, ready: false, connections: 0 };
        match backends.get_mut(place) {
            Some(before) => *before = backend,
            None => {
                assert_eq!(place, backends.len(), "backends are numbered without gaps");
                backends.push(backend);
            }
        }
    }

    /// Whether the `place`th backend gets new connections.
    pub fn is_ready(&self, place: usize) -> bool {
        self.shared.backends()[place].ready
    }

    /// Connections that the `place`th backend got at its present address.
    pub fn connections(&self, place: usize) -> u64 {
        self.shared.backends()[place].connections
    }

    /// Connections that ended before they reached a backend.
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn backends(&self) -> MutexGuard<'_, Vec<Backend>> {
        self.backends.lock().expect("nobody panics with it")
    }

    fn look(&self) {
        let places: Vec<_> = self.backends().iter().map(|backend| backend.admin).collect();
        for admin in places {
            let ready = Client::new(admin).get("/readyz").is_ok_and(|answer| answer.status == 200);
            // It may have moved meanwhile.
            let mut backends = self.backends();
            if let Some(backend) = backends.iter_mut().find(|backend| backend.admin == admin) {
                backend.ready = ready;
            }
        }
    }

    fn next(&self) -> Option<SocketAddr> {
        let mut backends = self.backends();
        let mut ready: Vec<_> = backends.iter_mut().filter(|backend| backend.ready).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(ready.len())?;
        ready[turn].connections += 1;
        Some(ready[turn].deliveries)
    }

    fn connect(&self, client: TcpStream) {
        let Some(backend) = self.next().and_then(|address| TcpStream::connect(address).ok()) else {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let clone = |stream: &TcpStream| stream.try_clone().expect("a socket can be cloned");
        let _ = client.set_nodelay(true);
        let _ = backend.set_nodelay(true);
        for (from, to) in [(clone(&client), clone(&backend)), (backend, client)] {
            thread::spawn(move || pump(from, to));
        }
    }
}

/// Passes on until one side ends.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
