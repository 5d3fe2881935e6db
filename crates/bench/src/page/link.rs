//! A long link between two network namespaces: a TUN device at each end, and threads of ours that
//! hold every packet back for as long as the light would take.
//!
//! `tc netem` would do it inside the kernel, but many kernels are built without it. Packets here
//! are of the size that a network sees, never the large ones that devices of one machine exchange.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

/// Packets under way in one direction: more than the large object has, so that none is lost.
const PACKETS_MAX: usize = 1 << 15;
/// The largest packet that is taken.
const PACKET_BYTES_MAX: usize = 2048;

/// Two devices and the way between them, for as long as the process runs.
#[derive(Debug)]
pub(crate) struct Link {
    /// The devices' names; the caller moves each to its namespace.
    pub(crate) ends: [String; 2],
    one_way_ns: Arc<AtomicU64>,
}

impl Link {
    /// Makes two devices: the name with an `a` behind it, and with a `b`.
    pub(crate) fn new(name: &str, bits_per_second: u64) -> io::Result<Self> {
        let link = Self {
            ends: [format!("{name}a"), format!("{name}b")],
            one_way_ns: Arc::new(AtomicU64::new(0)),
        };
        let [a, b] = [open(&link.ends[0])?, open(&link.ends[1])?];
        let [a_too, b_too] = [a.try_clone()?, b.try_clone()?];
        link.carry(a, b, bits_per_second);
        link.carry(b_too, a_too, bits_per_second);
        Ok(link)
    }

    /// From now on a packet and its answer take this long.
    pub(crate) fn set_round_trip(&self, round_trip: Duration) {
        let one_way = u64::try_from(round_trip.as_nanos() / 2).unwrap_or(u64::MAX);
        self.one_way_ns.store(one_way, Ordering::Relaxed);
    }

    fn carry(&self, from: File, to: File, bits_per_second: u64) {
        let (sender, receiver) = mpsc::sync_channel(PACKETS_MAX);
        let one_way_ns = Arc::clone(&self.one_way_ns);
        // They end with the process, or with their device.
        thread::spawn(move || take(from, &sender, &one_way_ns, bits_per_second));
        thread::spawn(move || deliver(to, &receiver));
    }
}

/// A packet, and when it arrives.
type Packet = (Instant, Vec<u8>);

fn take(mut from: File, to: &SyncSender<Packet>, one_way_ns: &AtomicU64, bits_per_second: u64) {
    let mut buffer = [0; PACKET_BYTES_MAX];
    // One packet after the other: the link is busy for as long as the bits of each take.
    let mut free = Instant::now();
    // A device that is not up yet refuses to be read.
    loop {
        match from.read(&mut buffer) {
            Ok(length) => {
                let sending = Duration::from_nanos(length as u64 * 8_000_000_000 / bits_per_second);
                free = free.max(Instant::now()) + sending;
                let arrival = free + Duration::from_nanos(one_way_ns.load(Ordering::Relaxed));
                if to.send((arrival, buffer[..length].to_vec())).is_err() {
                    return;
                }
            }
            Err(error) if is_not_up(&error) => thread::sleep(Duration::from_millis(1)),
            Err(_) => return,
        }
    }
}

fn deliver(mut to: File, from: &Receiver<Packet>) {
    for (arrival, packet) in from {
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        match to.write_all(&packet) {
            Ok(()) => {}
            // Nobody hears it, as on a cable that is not plugged in.
            Err(error) if is_not_up(&error) => {}
            Err(_) => return,
        }
    }
}

fn is_not_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Makes a TUN device; it goes when the file is closed, or with its namespace.
#[expect(unsafe_code, reason = "the standard library has no call that names a TUN device")]
fn open(name: &str) -> io::Result<File> {
    let file = File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: FLAGS },
    };
    // The last place stays zero: names end with it.
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    // SAFETY: the descriptor is open, and the request is an `ifreq` that lives through the call,
    // as TUNSETIFF wants; see Linux's documentation of tuntap.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
    if result == 0 { Ok(file) } else { Err(io::Error::last_os_error()) }
}

/// IFF_TUN and IFF_NO_PI: IP packets, with nothing before them.
const FLAGS: libc::c_short = 0x0001 | 0x1000;
