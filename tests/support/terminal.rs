//! The real program on a pseudo-terminal, and what a terminal of that size would show.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZero,
    process::ExitStatus,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::process::{self, Process};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Terminal {
    pub process: Process,
    side: File,
    shown: Arc<Mutex<vt100::Parser>>,
    /// Everything that was written, escapes and all.
    written: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// `millrace` with `arguments`, on a terminal of `columns` by `rows`.
    pub fn start(
        arguments: &[&str],
        environment: &[(&str, &str)],
        columns: u16,
        rows: u16,
    ) -> Self {
        let side = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&side).unwrap();
        unlockpt(&side).unwrap();
        let name = ptsname(&side, Vec::new()).unwrap().into_string().unwrap();
        let other = || File::options().read(true).write(true).open(&name).unwrap();
        tcsetwinsize(&side, size(columns, rows)).unwrap();
        // A terminal of its own, so that the program hears of another size.
        let mut command = process::tied("setsid");
        command
            .args(["--ctty", env!("CARGO_BIN_EXE_millrace")])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(other())
            .stdout(other())
            .stderr(other());
        let process = process::spawn(command);
        let shown = Arc::new(Mutex::new(vt100::Parser::new(some(rows), some(columns), 0)));
        let written = Arc::new(Mutex::new(Vec::new()));
        let side = File::from(side);
        let mut reads = side.try_clone().unwrap();
        let (parser, bytes) = (Arc::clone(&shown), Arc::clone(&written));
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // An error is how the other side's end shows.
            while let Ok(length @ 1..) = reads.read(&mut piece) {
                parser.lock().unwrap().process(&piece[..length]);
                bytes.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { process, side, shown, written }
    }

    pub fn press(&mut self, keys: &str) {
        self.side.write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.shown.lock().unwrap().screen_mut().set_size(some(rows), some(columns));
        tcsetwinsize(&self.side, size(columns, rows)).unwrap();
    }

    /// The lines that a reader sees.
    pub fn lines(&self) -> Vec<String> {
        let shown = self.shown.lock().unwrap();
        let (_, columns) = shown.screen().size();
        shown.screen().rows(0, columns.get()).map(|line| line.trim_end().to_owned()).collect()
    }

    pub fn is_on_its_own_screen(&self) -> bool {
        self.shown.lock().unwrap().screen().alternate_screen()
    }

    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until the lines fit, and returns them.
    #[track_caller]
    pub fn until(&self, what: &str, fits: impl Fn(&[String]) -> bool) -> Vec<String> {
        let start = std::time::Instant::now();
        loop {
            let lines = self.lines();
            if fits(&lines) {
                return lines;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}\n{}", lines.join("\n"));
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end.
    pub fn end(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE)
    }
}

fn some(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
