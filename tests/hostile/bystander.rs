//! The sender that means no harm: a delivery every few milliseconds, every fourth on a connection of
//! its own, from a thread that nothing else runs on.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::io::AsyncWriteExt;

use crate::target::{Stream, Target, batch, leads, status};

const PAUSE: Duration = Duration::from_millis(10);

pub struct Bystander {
    phase: Arc<Mutex<&'static str>>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What the sender saw.
pub struct Seen {
    deliveries: Vec<Delivery>,
}

struct Delivery {
    phase: &'static str,
    /// From before the connection, where it is a new one.
    took: Duration,
    answer: Result<u16, String>,
}

impl Bystander {
    pub fn start(target: Target) -> Self {
        let (phase, ends) = (Arc::new(Mutex::new("before")), Arc::new(AtomicBool::new(false)));
        let thread = thread::spawn({
            let (phase, ends) = (phase.clone(), ends.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(deliver_until(&target, &phase, &ends))
            }
        });
        Self { phase, ends, thread }
    }

    /// What the sender sees while `attack` lasts goes under `phase`.
    pub async fn during<T>(&self, phase: &'static str, attack: impl Future<Output = T>) -> T {
        *self.phase.lock().unwrap() = phase;
        attack.await
    }

    pub fn end(self) -> Seen {
        self.ends.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}

async fn deliver_until(target: &Target, phase: &Mutex<&'static str>, ends: &AtomicBool) -> Seen {
    let mut deliveries = Vec::new();
    let mut kept: Option<Box<dyn Stream>> = None;
    while !ends.load(SeqCst) {
        let phase = *phase.lock().unwrap();
        let n = deliveries.len();
        let start = Instant::now();
        let connection = if n % 4 == 0 { &mut None } else { &mut kept };
        let answer = deliver(target, connection, n).await.map_err(|error| error.to_string());
        deliveries.push(Delivery { phase, took: start.elapsed(), answer });
        tokio::time::sleep(PAUSE).await;
    }
    Seen { deliveries }
}

async fn deliver(
    target: &Target,
    connection: &mut Option<Box<dyn Stream>>,
    n: usize,
) -> io::Result<u16> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => target.open(0).await?,
    };
    let body = batch(&guid(n));
    let request = format!("{}content-length: {}\r\n\r\n{body}", leads(), body.len());
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let status = status(&mut stream).await?;
    *connection = Some(stream);
    Ok(status)
}

fn guid(n: usize) -> String {
    format!("sender-{n}")
}

impl Seen {
    /// Every delivery was taken, in time.
    #[track_caller]
    pub fn assert_served(&self, late: Duration) {
        for (n, delivery) in self.deliveries.iter().enumerate() {
            let Delivery { phase, took, answer } = delivery;
            assert_eq!(answer, &Ok(200), "delivery {n}, {phase}, after {took:?}");
            assert!(*took < late, "delivery {n}, {phase}: {took:?}");
        }
    }

    pub fn guids(&self) -> impl Iterator<Item = String> {
        (0..self.deliveries.len()).map(guid)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in self.deliveries.chunk_by(|a, b| a.phase == b.phase) {
            let mut times: Vec<_> = phase.iter().map(|delivery| delivery.took).collect();
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() - 1) * percent / 100];
            let refused = phase.iter().filter(|delivery| delivery.answer != Ok(200)).count();
            writeln!(
                f,
                "{:>24}: {:>5} deliveries, {refused} refused, p50 {:.1?}, p99 {:.1?}, most {:.1?}",
                phase[0].phase,
                phase.len(),
                at(50),
                at(99),
                at(100)
            )?;
        }
        Ok(())
    }
}
