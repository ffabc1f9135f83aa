//! The terminal as a full screen: single keys, a screen of its own, and the former state again at every kind of end.

use std::{
    io::{self, Write},
    time::Duration,
};

use console::Term;
use crossterm::{
    cursor,
    event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    execute, queue, terminal,
};

use super::colours::{Tone, painted};

/// A key press, or another event of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Letter(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Resize,
    Interrupt,
}

/// A line in parts, each with its tone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<(Tone, String)>);

impl Line {
    pub fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    pub fn painted(&self, colours: bool) -> String {
        self.0.iter().map(|(tone, text)| painted(*tone, text, colours)).collect()
    }

    #[cfg(test)]
    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Cuts the line to `width` characters.
    pub fn cut(self, width: usize) -> Self {
        let mut left = width;
        let mut parts = Vec::new();
        for (tone, text) in self.0 {
            let part: String = text.chars().take(left).collect();
            left -= part.chars().count();
            parts.push((tone, part));
        }
        Self(parts)
    }
}

pub struct Terminal {
    colours: bool,
    drawn: Vec<String>,
}

impl Terminal {
    pub fn open(colours: bool) -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let opened = Self { colours, drawn: Vec::new() };
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(opened)
    }

    /// Forgets the last frame, so that the next one starts with an empty screen.
    pub fn forget(&mut self) {
        self.drawn.clear();
    }

    /// Draws the lines that differ from the last frame. A failed write is ignored: the next frame is drawn anyway.
    pub fn draw(&mut self, lines: impl FnOnce(usize, usize) -> Vec<Line>) {
        let (rows, columns) = Term::stdout().size();
        let rows = usize::from(rows);
        let columns = usize::from(columns);
        let lines = lines(columns, rows);
        let mut out = io::stdout().lock();
        let all = self.drawn.is_empty();
        if all {
            let _ = queue!(out, terminal::Clear(terminal::ClearType::All));
        }
        let lines: Vec<String> =
            lines.into_iter().take(rows).map(|it| it.cut(columns).painted(self.colours)).collect();
        for row in 0..lines.len().max(self.drawn.len()).min(rows) {
            let line = lines.get(row).map_or("", String::as_str);
            if !all && self.drawn.get(row).map_or("", String::as_str) == line {
                continue;
            }
            let at = cursor::MoveTo(0, u16::try_from(row).unwrap_or(u16::MAX));
            let _ = queue!(out, at, terminal::Clear(terminal::ClearType::CurrentLine));
            let _ = out.write_all(line.as_bytes());
        }
        let _ = out.flush();
        self.drawn = lines;
    }

    /// Returns the keys that were pressed since the last call.
    pub fn keys(&mut self) -> Vec<Key> {
        let mut keys = Vec::new();
        // An error would repeat for ever: it is ignored, and a signal can still end the program.
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(event) = event::read() else { break };
            keys.extend(key(&event));
        }
        keys
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), cursor::Show, terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

fn key(event: &Event) -> Option<Key> {
    let key = match event {
        Event::Resize(..) => return Some(Key::Resize),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match key.code {
        KeyCode::Char(letter) => Key::Letter(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        _ => return None,
    })
}
