//! How one core should read records from a disk: by a thread that may wait, by trying without waiting
//! first, or by io_uring. `cargo xtask bench reads`.
//!
//! Each way runs on one current-thread runtime, as an edge's core does, with some reads under way at
//! once. *Warm* means that the kernel holds the file in memory, *cold* that it was told to forget it.
//! A timer ticks beside the reads: how late it is says how long a core was held up.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{self, IoSliceMut, Write},
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use io_uring::{IoUring, opcode, types};
use nigh_base::Rng;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::{io::unix::AsyncFd, sync::oneshot, task::LocalSet};

use crate::markdown::Table;

/// Entries of the submission queue: more reads than are ever under way.
const RING: u32 = 256;

/// How often the timer beside the reads rings.
const TICK: Duration = Duration::from_millis(1);

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The file that is read, and made if it is not there: on the disk that is meant
    #[arg(long, value_name = "FILE", default_value = "target/reads.bin")]
    file: PathBuf,
    /// Its length in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    size: u64,
    /// Bytes of a record, in KiB
    #[arg(long, value_name = "KIB", default_value_t = 100)]
    record: u64,
    /// Runs of each way, interleaved; the median is shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of a run
    #[arg(long, default_value_t = 1)]
    seconds: u64,
}

/// A way to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// A thread of a pool reads, whatever it is.
    Threads,
    /// Without waiting (`RWF_NOWAIT`); a thread reads what the kernel does not have.
    NoWaitFirst,
    /// One ring for the core, heard through an eventfd.
    Uring,
    /// Without waiting; the ring reads what the kernel does not have.
    NoWaitThenUring,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Threads, "threads"),
    (Way::NoWaitFirst, "no-wait, then threads"),
    (Way::Uring, "io_uring"),
    (Way::NoWaitThenUring, "no-wait, then io_uring"),
];

/// What one run gave.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    reads: u64,
    seconds: f64,
    cpu: f64,
    /// The latest tick of a hundred, in microseconds.
    late: f64,
}

/// Measures, and says what came of it.
///
/// # Errors
/// If the file cannot be made or read, or the kernel has no io_uring.
pub(crate) fn run(arguments: &Arguments) -> io::Result<String> {
    let length = arguments.size << 20;
    make(&arguments.file, length)?;
    let file = Arc::new(File::open(&arguments.file)?);
    let mut table = Table::new([
        "way",
        "cache",
        "at once",
        "reads/s",
        "MB/s",
        "CPU s for 100,000",
        "a tick late, p99 us",
    ]);
    for (cold, cache) in [(false, "warm"), (true, "cold")] {
        for at_once in [1, 16, 64] {
            let mut runs: BTreeMap<Way, Vec<Run>> = BTreeMap::new();
            for number in 0..arguments.runs {
                for (way, _) in WAYS {
                    // Warm: everything was read once. Cold: nothing is left of what was.
                    if cold {
                        forget(&file)?
                    } else {
                        touch(&file, length)?
                    }
                    let seed = (number as u64) << 8 | at_once;
                    runs.entry(way)
                        .or_default()
                        .push(measure(way, &file, arguments, at_once, seed)?);
                }
            }
            for (way, name) in WAYS {
                let of = |value: fn(&Run) -> f64| {
                    let mut values: Vec<f64> = runs[&way].iter().map(value).collect();
                    values.sort_by(f64::total_cmp);
                    values[values.len() / 2]
                };
                let rate = of(|run| run.reads as f64 / run.seconds);
                table.row(vec![
                    name.to_owned(),
                    cache.to_owned(),
                    at_once.to_string(),
                    format!("{rate:.0}"),
                    format!("{:.0}", rate * (arguments.record << 10) as f64 / 1e6),
                    format!("{:.2}", of(|run| run.cpu / run.reads as f64 * 1e5)),
                    format!("{:.0}", of(|run| run.late)),
                ]);
            }
        }
    }
    Ok(table.text())
}

/// Makes the file, of bytes that no file system compresses.
fn make(path: &Path, length: u64) -> io::Result<()> {
    if path.metadata().is_ok_and(|there| there.len() == length) {
        return Ok(());
    }
    let mut file = File::create(path)?;
    let mut rng = Rng::new(1);
    let mut block = vec![0; 1 << 20];
    for _ in 0..length >> 20 {
        for bytes in block.chunks_exact_mut(8) {
            bytes.copy_from_slice(&rng.next_u64().to_le_bytes());
        }
        file.write_all(&block)?;
    }
    file.sync_all()
}

fn forget(file: &File) -> io::Result<()> {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

fn touch(file: &File, length: u64) -> io::Result<()> {
    let mut block = vec![0; 1 << 20];
    for at in 0..length >> 20 {
        file.read_exact_at(&mut block, at << 20)?;
    }
    Ok(())
}

fn measure(
    way: Way,
    file: &Arc<File>,
    arguments: &Arguments,
    at_once: u64,
    seed: u64,
) -> io::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(64)
        .build()?;
    let record = arguments.record << 10;
    let places = (arguments.size << 20) / record;
    LocalSet::new().block_on(&runtime, async {
        let ring = Ring::start()?;
        let end = Instant::now() + Duration::from_secs(arguments.seconds);
        let (started, cpu) = (Instant::now(), cpu_time());
        let ticking = tokio::task::spawn_local(tick(end));
        let reading: Vec<_> = (0..at_once)
            .map(|number| {
                let (file, ring) = (Arc::clone(file), Rc::clone(&ring));
                let mut rng = Rng::new(seed << 16 | number);
                tokio::task::spawn_local(async move {
                    let mut reads = 0_u64;
                    while Instant::now() < end {
                        let at = rng.below(places) * record;
                        read(way, &file, &ring, at, usize::try_from(record).unwrap_or(0)).await?;
                        reads += 1;
                    }
                    io::Result::Ok(reads)
                })
            })
            .collect();
        let mut reads = 0;
        for reader in reading {
            reads += reader.await.map_err(io::Error::other)??;
        }
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_time() - cpu);
        let late = ticking.await.map_err(io::Error::other)?;
        Ok(Run { reads, seconds, cpu, late })
    })
}

/// One read, and what an edge does with it: look at every byte.
async fn read(
    way: Way,
    file: &Arc<File>,
    ring: &Rc<Ring>,
    at: u64,
    length: usize,
) -> io::Result<()> {
    let mut bytes = vec![0; length];
    if matches!(way, Way::NoWaitFirst | Way::NoWaitThenUring) {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match preadv2(&**file, &mut slices, at, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == length => {
                std::hint::black_box(xxh3(&bytes));
                // As a core does between two requests.
                tokio::task::yield_now().await;
                return Ok(());
            }
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let bytes = match way {
        Way::Threads | Way::NoWaitFirst => {
            let file = Arc::clone(file);
            let read = move || file.read_exact_at(&mut bytes, at).map(|()| bytes);
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??
        }
        Way::Uring | Way::NoWaitThenUring => ring.read(file, bytes, at).await?,
    };
    std::hint::black_box(xxh3(&bytes));
    Ok(())
}

fn xxh3(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// How late a timer rings, in microseconds: the 99th percentile.
async fn tick(end: Instant) -> f64 {
    let mut late = Vec::new();
    while Instant::now() < end {
        let due = Instant::now() + TICK;
        tokio::time::sleep_until(due.into()).await;
        late.push(Instant::now().saturating_duration_since(due).as_secs_f64() * 1e6);
    }
    late.sort_by(f64::total_cmp);
    late.get(late.len() * 99 / 100).copied().unwrap_or(0.0)
}

/// Processor seconds of this process, its threads and the kernel's work for it included.
fn cpu_time() -> f64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as f64 + usage.tv_nsec as f64 / 1e9
}

/// A ring, and who waits for which of its completions.
struct Ring {
    ring: RefCell<IoUring>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<i32>>>,
    next: std::cell::Cell<u64>,
}

impl Ring {
    /// A ring whose completions are heard on this runtime.
    fn start() -> io::Result<Rc<Self>> {
        let ring = IoUring::new(RING)?;
        let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK)?;
        ring.submitter().register_eventfd(bell.as_raw_fd())?;
        #[expect(unsafe_code, reason = "the descriptor is the eventfd's own")]
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, for as long as it lives.
        let bell = unsafe { AsyncFd::register(bell) }?;
        let this = Rc::new(Self {
            ring: RefCell::new(ring),
            waiting: RefCell::default(),
            next: std::cell::Cell::new(0),
        });
        let hearing = Rc::downgrade(&this);
        tokio::task::spawn_local(async move {
            while let Ok(mut ready) = bell.readable().await {
                let mut count = [0; 8];
                let _ = rustix::io::read(bell.get_ref(), &mut count);
                ready.clear_ready();
                let Some(ring) = hearing.upgrade() else { return };
                ring.complete();
            }
        });
        Ok(this)
    }

    fn complete(&self) {
        let mut ring = self.ring.borrow_mut();
        for done in ring.completion() {
            if let Some(waiting) = self.waiting.borrow_mut().remove(&done.user_data()) {
                let _ = waiting.send(done.result());
            }
        }
    }

    async fn read(&self, file: &File, mut bytes: Vec<u8>, at: u64) -> io::Result<Vec<u8>> {
        let number = self.next.replace(self.next.get() + 1);
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let read = opcode::Read::new(types::Fd(file.as_raw_fd()), bytes.as_mut_ptr(), length)
            .offset(at)
            .build()
            .user_data(number);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, sender);
        {
            let mut ring = self.ring.borrow_mut();
            #[expect(unsafe_code, reason = "the buffer is held until the completion was heard")]
            // SAFETY: `bytes` is neither moved out nor freed before the completion came: this
            // future is never dropped in between, for whoever reads waits for it.
            unsafe { ring.submission().push(&read) }.map_err(io::Error::other)?;
            ring.submit()?;
        }
        let result = receiver.await.map_err(io::Error::other)?;
        match usize::try_from(result) {
            Ok(read) if read == bytes.len() => Ok(bytes),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        }
    }
}
