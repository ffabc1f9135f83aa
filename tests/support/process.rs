//! Child processes that end with the test process, however that ends.
//!
//! A panic, an interrupt or a SIGKILL of the test process must leave no JVM behind, so the kernel
//! is asked to kill the child when its parent dies (`setpriv --pdeathsig`, of util-linux). That
//! "parent" is a thread, not a process, and a test's thread ends with its test while a shared
//! broker lives on; so one thread that never ends does all the spawning.

use std::{
    io,
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::wait;

type Request = (Command, mpsc::Sender<io::Result<Child>>);

/// A command that runs `program` under the kernel's promise to kill it with its parent.
pub fn tied(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program.as_ref());
    command
}

/// Spawns a [`tied`] command.
pub fn spawn(command: Command) -> Process {
    static SPAWNER: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The one who asked may be gone; then the child's handle is dropped and the child
                // ends with this process.
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let (reply, child) = mpsc::channel();
    let shown = format!("{command:?}");
    spawner.send((command, reply)).expect("the spawning thread never ends");
    let child = child.recv().expect("the spawning thread answers every request");
    Process(child.unwrap_or_else(|error| panic!("cannot start {shown}: {error}")))
}

/// A running (or ended) child; killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be waited for")
    }

    /// Sends a signal; one that has ended is left alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(Pid::from_child(&self.0), signal).expect("a child can be signalled");
        }
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0.wait().expect("a child can be waited for");
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        wait::until_some("the process to end", patience, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
