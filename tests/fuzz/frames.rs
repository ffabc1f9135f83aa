//! A spool of a few segments, what a disk could do to them, and what a reader may make of the rest.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use millrace::{
    delivery::{Authenticated, Delivery},
    ingest::authenticate::Proof,
    observe::metrics::Metrics,
    source::SourceName,
    spool::{Config, Delivered, Folder, Next, Spool, Writer, disk::Disk, position::Position},
};

use crate::simulated_disk::SimulatedDisk;

const DELIVERIES: u64 = 24;
/// Lengths of a segment's header and of a frame's head, as the format has them.
const HEADER: usize = 64;
const HEAD: usize = 32;
/// What one edit takes of the input.
const EDIT: usize = 6;
const EDITS: usize = 12;
/// What the disk reads at once, and cannot read as a whole.
const PAGE: usize = 4096;
/// Tries of an opening, and of a reader at one place, beyond which neither will ever go on.
const TRIES: usize = 600;
/// Milliseconds between two of them.
const PAUSE: u64 = 2_000;

fn config() -> Config {
    Config {
        directory: "/spool".into(),
        size_limit: 1 << 30,
        source_limits: Vec::new(),
        reserve: 0,
        reserve_held: 0,
        keep_delivered_age: Duration::from_secs(3600),
        keep_delivered_size: 1 << 30,
        segment_size: 6_000,
    }
}

fn source() -> SourceName {
    SourceName::new("leads").expect("it is a name")
}

fn segments() -> PathBuf {
    "/spool/leads/segments".into()
}

/// Lengths differ, and some bodies hold what begins a frame.
fn delivery(number: u64) -> Delivery {
    let mut body = format!("<{number}>").into_bytes();
    if number.is_multiple_of(5) {
        body.extend_from_slice(b"MRF\x01");
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(&(number + 2).to_le_bytes());
    }
    body.resize((number as usize * 97) % 900 + 40, b'a' + (number % 26) as u8);
    let headers = vec![("x-number".to_owned(), number.to_string())];
    Delivery { source: source(), received_at: 1_000 + number, headers, body: body.into() }
}

fn open(disk: &SimulatedDisk, delivered: Option<Delivered>) -> Option<(Writer, Spool)> {
    let folder = Folder::open(Arc::new(disk.clone()), &config()).expect("the folder opens");
    for _ in 0..TRIES {
        match folder.spool(&source(), None, &Metrics::new(), delivered) {
            Ok(opened) => return Some(opened),
            Err(error) if error.is_worth_retrying() => disk.advance_clock(PAUSE),
            Err(_) => return None,
        }
    }
    panic!("an opening is tried for ever");
}

/// Everything that a reader gives out, by its number, and what it reports as damage.
fn read(
    disk: &SimulatedDisk,
    spool: &Spool,
    from: u64,
) -> Option<(BTreeMap<u64, Delivery>, Vec<Range<u64>>)> {
    let (mut reader, mut found, mut damaged) = (spool.reader(from), BTreeMap::new(), Vec::new());
    let (mut next, mut failures) = (from, 0);
    loop {
        match reader.next() {
            Ok(Next::CaughtUp) => break,
            Ok(Next::Delivery(stored)) => {
                assert_eq!(stored.sequence, next, "in order, and nothing left out in silence");
                next = stored.sequence + 1;
                found.insert(stored.sequence, stored.delivery);
            }
            Ok(Next::Damage(damage)) => {
                assert_eq!(damage.first_sequence, next, "{damage}");
                assert!(damage.next_sequence >= next, "{damage}");
                assert!(damage.from <= damage.to, "{damage}");
                damage.pieces().for_each(|piece| drop(piece.expect("what is kept can be read")));
                next = damage.next_sequence;
                damaged.push(damage.first_sequence..damage.next_sequence);
            }
            Err(_) => {
                failures += 1;
                disk.advance_clock(PAUSE);
                if failures > TRIES {
                    return None; // a disk that is gone is waited for
                }
            }
        }
    }
    assert_eq!(next, spool.durable_end().max(from), "to the end");
    Some((found, damaged))
}

/// The first byte says whether the rest are a segment's bytes, or edits of whole ones.
pub fn run(input: &[u8]) {
    match input.split_first() {
        Some((0..64, bytes)) => any_bytes(bytes),
        Some((_, edits)) => edited(edits),
        None => {}
    }
}

/// One segment with these bytes, alone or behind a whole one.
fn any_bytes(bytes: &[u8]) {
    let Some((shape, bytes)) = bytes.split_first() else { return };
    let disk = SimulatedDisk::new(1);
    let (writer, spool) = open(&disk, None).expect("an empty spool opens");
    let mut writer = writer;
    for number in 1..=2 {
        append(&mut writer, number);
    }
    drop((writer, spool));
    disk.kill();
    let path = segments().join(format!("{:020}.segment", 1));
    let whole = disk.content(&path);
    // The header helps the fuzzer along; without it the name has to do.
    let content = if shape & 1 == 0 { [&whole[..HEADER], bytes].concat() } else { bytes.to_vec() };
    match shape & 2 == 0 {
        true => disk.set_content(&path, content),
        false => {
            let path = segments().join(format!("{:020}.segment", 3));
            disk.create_new(&path).expect("there is no such file");
            disk.set_content(&path, content);
        }
    }
    let Some((mut writer, spool)) = open(&disk, None) else { return };
    let first = read(&disk, &spool, 1);
    let end = spool.durable_end();
    assert_eq!(append(&mut writer, end), Some(end));
    let second = read(&disk, &spool, 1);
    if let (Some((first, _)), Some((mut second, _))) = (first, second) {
        assert_eq!(second.remove(&end).as_ref(), Some(&delivery(end)));
        assert!(first == second, "what was read once is read again");
    }
}

fn append(writer: &mut Writer, number: u64) -> Option<u64> {
    let proven = Authenticated::new(delivery(number), Proof::by_operator());
    writer.append_group(&[proven]).ok().map(|numbers| numbers[0])
}

/// Where each frame lies: in which file, and at which bytes.
struct Whole {
    disk: SimulatedDisk,
    files: Vec<PathBuf>,
    frames: BTreeMap<u64, (usize, Range<usize>)>,
}

impl Whole {
    fn new() -> Self {
        let disk = SimulatedDisk::new(1);
        let (mut writer, spool) = open(&disk, None).expect("an empty spool opens");
        (1..=DELIVERIES).for_each(|number| {
            append(&mut writer, number);
        });
        drop((writer, spool));
        disk.kill();
        let mut names = disk.list(&segments()).expect("there are segments");
        names.sort();
        let files: Vec<_> = names.iter().map(|name| segments().join(name)).collect();
        let mut frames = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            let (bytes, mut at) = (disk.content(file), HEADER);
            while let Some(head) = bytes.get(at..at + HEAD) {
                let sequence = u64::from_le_bytes(head[8..16].try_into().expect("eight bytes"));
                let headers = usize::from(u16::from_le_bytes([head[24], head[25]]));
                let body = u32::from_le_bytes(head[28..32].try_into().expect("four bytes"));
                let end = at + HEAD + headers + body as usize;
                frames.insert(sequence, (number, at..end));
                at = end;
            }
        }
        assert_eq!(frames.len() as u64, DELIVERIES);
        Self { disk, files, frames }
    }
}

thread_local! {
    static WHOLE: Whole = Whole::new();
}

/// What was done to the files.
#[derive(Default)]
struct Harm {
    /// Bytes that are not what they were, or cannot be read, by file.
    bytes: Vec<(usize, Range<usize>)>,
    /// More was done than that: what is lost cannot be told by place.
    is_wild: bool,
    /// The end of the last segment was hit, where what a crash leaves is cut.
    holes: usize,
}

fn edited(edits: &[u8]) {
    WHOLE.with(|whole| {
        let disk = whole.disk.copy();
        let Some((start, edits)) = edits.split_first() else { return };
        let mut harm = Harm::default();
        for edit in edits.chunks_exact(EDIT).take(EDITS) {
            apply(&disk, whole, edit, &mut harm);
        }
        let low = u64::from(start % 32);
        let delivered = (low > 0).then(|| {
            let at = Position::start_of(low);
            Delivered { lowest: at, highest: at, stored: 0 }
        });
        let Some((mut writer, spool)) = open(&disk, delivered) else {
            assert!(harm.is_wild || harm.holes > 0, "damage stops no start");
            return;
        };
        if start & 32 > 0 {
            // What retention looks up on the way must not mislead a reader.
            spool.delivered(Position::start_of(low + 4));
        }
        let from = if start & 64 > 0 { low.max(1) } else { 1 };
        let first = read(&disk, &spool, from);
        if let Some((found, damaged)) = &first {
            check(whole, &harm, found, damaged, from);
        }
        let end = spool.durable_end();
        assert!(low <= end, "numbering goes on behind the checkpoint");
        assert_eq!(append(&mut writer, end), Some(end));
        drop((writer, spool));
        disk.kill();
        let Some((_writer, spool)) = open(&disk, delivered) else { panic!("it opened before") };
        assert_eq!(spool.durable_end(), end + 1);
        if let (Some((first, _)), Some((mut second, _))) = (first, read(&disk, &spool, from)) {
            assert_eq!(second.remove(&end).as_ref(), Some(&delivery(end)));
            assert!(first == second, "a start changes nothing that can be read");
        }
    });
}

fn check(
    whole: &Whole,
    harm: &Harm,
    found: &BTreeMap<u64, Delivery>,
    damaged: &[Range<u64>],
    from: u64,
) {
    for (sequence, read) in found {
        assert_eq!(*read, delivery(*sequence), "number {sequence} is what was written");
        assert!(*sequence <= DELIVERIES, "{sequence} was never written");
    }
    if harm.is_wild {
        return;
    }
    for (sequence, (file, place)) in whole.frames.range(from..) {
        let is_hit = |(of, bytes): &(usize, Range<usize>)| {
            of == file && bytes.start < place.end && place.start < bytes.end
        };
        if !harm.bytes.iter().any(is_hit) {
            assert!(found.contains_key(sequence), "{sequence} is whole, and is among {damaged:?}");
        }
    }
}

/// One edit: what, in which file, where (two bytes), how much, and with what.
fn apply(disk: &SimulatedDisk, whole: &Whole, edit: &[u8], harm: &mut Harm) {
    let file = usize::from(edit[1]) % whole.files.len();
    let path: &Path = &whole.files[file];
    if disk.info(path).is_err() {
        return; // it was removed
    }
    let mut bytes = disk.content(path);
    if bytes.is_empty() {
        return;
    }
    let at = usize::from(u16::from_le_bytes([edit[2], edit[3]])) % bytes.len();
    let length = (usize::from(edit[4]) * 8 + 1).min(bytes.len() - at);
    let is_last = file + 1 == whole.files.len();
    match edit[0] % 16 {
        // A bit here and there; a checksum of 32 bits finds any few of them.
        0..6 => {
            bytes[at] ^= 1 << (edit[5] % 8);
            harm.bytes.push((file, at..at + 1));
        }
        6..9 => {
            bytes[at..at + length].fill(0);
            harm.bytes.push((file, at..at + length));
        }
        9..11 => {
            let from = at / PAGE * PAGE;
            let to = (from + PAGE).min(bytes.len());
            bytes[from..to].fill(if edit[0] & 16 == 0 { 0 } else { edit[5] });
            harm.bytes.push((file, from..to));
        }
        11..13 if harm.holes < 3 => {
            let (from, to) = (at / PAGE * PAGE, at / PAGE * PAGE + PAGE);
            disk.spoil(path, from as u64..to as u64);
            harm.bytes.push((file, from..to));
            harm.holes += 1;
        }
        13 => {
            let from = usize::from(edit[5]) * 16 % bytes.len();
            let length = length.min(bytes.len() - from);
            bytes.copy_within(from..from + length, at);
            harm.is_wild = true;
        }
        14 => {
            bytes.truncate(at);
            harm.is_wild = true;
        }
        15 if !is_last && edit[5] == 0 => {
            disk.vanish(path);
            harm.is_wild = true;
            return;
        }
        _ => return,
    }
    disk.set_content(path, bytes);
}
