//! Starting this program anew with descriptors at the places where it looks for them, and finding
//! them there.
//!
//! The protocol wants the new process' own id in its environment, which is known behind the fork
//! only. Nothing may be allocated there (fork(2) in a process with threads), so all that execve(2)
//! is given is made before, with room for the id.
//!
//! It forks twice, and the process in between ends: whoever supervises this one adopts the new one.
//! systemd hears the end of its own children only. Of a main process that is somebody else's child
//! it may neither notice the end nor wait for it, and kills it as soon as it has asked it to stop.

#![expect(unsafe_code, reason = "descriptors by number, and what is done between fork and exec")]

use std::{
    env,
    ffi::{CString, OsString},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd, retry_on_intr},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal},
};
use tracing::warn;

use super::FIRST;

/// Variables that are about the old process.
const REPLACED: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// Digits of the largest process id there can be, and the end of the text.
const DIGITS: usize = 11;

/// How long the kernel may take to end a process that it was told to.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A process that this one has started and that is not its child. Dropped, it is ended.
#[derive(Debug)]
pub(super) struct Process {
    id: Pid,
    /// `None` once it lives on its own.
    handle: Option<OwnedFd>,
}

impl Process {
    /// The one with this id, which nobody may have waited for.
    pub(super) fn of(id: Pid) -> io::Result<Self> {
        Ok(Self { id, handle: Some(pidfd_open(id, PidfdFlags::empty())?) })
    }

    /// Its id.
    pub(super) fn id(&self) -> u32 {
        self.id.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> io::Result<bool> {
        self.ends_within(Duration::ZERO)
    }

    /// Ends it; that it has ended before is no error.
    pub(super) fn end(&self) -> io::Result<()> {
        let Some(handle) = &self.handle else { return Ok(()) };
        match pidfd_send_signal(handle, Signal::KILL) {
            Ok(()) if self.ends_within(END_LIMIT)? => Ok(()),
            Ok(()) => Err(io::ErrorKind::TimedOut.into()),
            Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Has it read its settings again; it must have said that it is ready, from when on it hears that.
    pub(super) fn hang_up(&self) -> io::Result<()> {
        match &self.handle {
            Some(handle) => Ok(pidfd_send_signal(handle, Signal::HUP)?),
            None => Ok(()),
        }
    }

    /// From here on it lives on its own.
    pub(super) fn let_go(mut self) {
        self.handle = None;
    }

    fn ends_within(&self, limit: Duration) -> io::Result<bool> {
        let Some(handle) = &self.handle else { return Ok(false) };
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        let mut ended = [PollFd::new(handle, PollFlags::IN)];
        Ok(retry_on_intr(|| poll(&mut ended, Some(&limit)))? > 0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            warn!(%error, "the new process could not be ended");
        }
    }
}

/// How this process was started.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// As this process was: by the path that was named, not by the file that it led to then, so that
    /// a replaced file or a link that leads elsewhere by now is followed.
    pub(crate) fn this() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let name = PathBuf::from(arguments.next().unwrap_or_default());
        let named = if name.components().count() > 1 {
            std::path::absolute(&name).ok()
        } else {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).map(|folder| folder.join(&name)).find(|path| path.is_file())
        };
        let path = match named.filter(|path| path.is_file()) {
            Some(path) => path,
            None => env::current_exe()?,
        };
        Ok(Self { path, arguments: arguments.collect() })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it with `descriptors`, each under its name.
    pub(super) fn start(&self, descriptors: Vec<(&str, OwnedFd)>) -> io::Result<Process> {
        let count = RawFd::try_from(descriptors.len()).map_err(io::Error::other)?;
        let names: Vec<&str> = descriptors.iter().map(|(name, _)| *name).collect();
        // Out of the way of where they have to be.
        let out_of_the_way = |descriptor| fcntl_dupfd_cloexec(descriptor, FIRST + count);
        let held = descriptors
            .iter()
            .map(|(_, descriptor)| out_of_the_way(descriptor))
            .collect::<Result<Vec<OwnedFd>, _>>()?;
        let sources = held.iter().map(AsRawFd::as_raw_fd).collect();
        let mut image = Image::new(self, sources, &names.join(":"))?;
        let (said, says) = pipe_with(PipeFlags::CLOEXEC)?;
        let says = out_of_the_way(&says)?;
        let mut command = Command::new(&self.path);
        // SAFETY: between fork and exec, `step_aside` and `enter` make system calls and write into
        // memory that is there already; they take no lock and allocate nothing.
        unsafe {
            command.pre_exec(move || Err(step_aside(&says).unwrap_or_else(|| image.enter())))
        };
        // It comes back when the program runs; who is waited for is the one in between.
        command.spawn()?.wait()?;
        drop(command);
        let mut id = [0; size_of::<i32>()];
        File::from(said).read_exact(&mut id)?;
        let id = Pid::from_raw(i32::from_ne_bytes(id)).ok_or(io::ErrorKind::InvalidData)?;
        Process::of(id).inspect_err(|_| {
            // Who cannot be watched must not stay; the error says why it could not.
            let _ = kill_process(id, Signal::KILL);
        })
    }
}

/// Forks and ends, once it has said the new process' id; that one comes back, with nothing, or with
/// what went wrong.
fn step_aside(says: &OwnedFd) -> Option<io::Error> {
    // SAFETY: nothing else runs in this copy of the process, and it is left as it is in both.
    match unsafe { libc::fork() } {
        0 => None,
        id if id < 0 => Some(io::Error::last_os_error()),
        id => {
            let status = match rustix::io::write(says, &id.to_ne_bytes()) {
                Ok(_) => 0,
                Err(_) => 1,
            };
            // SAFETY: ends this copy at once, and runs nothing of what the process has left to do.
            unsafe { libc::_exit(status) }
        }
    }
}

/// What execve(2) is given. Addresses are those of the texts beside them, which stay where they are
/// while this is moved.
struct Image {
    sources: Vec<RawFd>,
    texts: Vec<CString>,
    /// `LISTEN_PID=`, and room for the id.
    id: Vec<u8>,
    arguments: Vec<usize>,
    variables: Vec<usize>,
}

impl Image {
    fn new(program: &Program, sources: Vec<RawFd>, names: &str) -> io::Result<Self> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
        let path = program.path.as_os_str();
        let mut texts = vec![text(path.as_bytes())?];
        for argument in &program.arguments {
            texts.push(text(argument.as_bytes())?);
        }
        let behind_arguments = texts.len();
        for (name, value) in env::vars_os() {
            if !REPLACED.iter().any(|replaced| name == *replaced) {
                texts.push(text(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
            }
        }
        texts.push(text(format!("LISTEN_FDS={}", sources.len()).as_bytes())?);
        texts.push(text(format!("LISTEN_FDNAMES={names}").as_bytes())?);
        let id = [b"LISTEN_PID=".as_slice(), &[0; DIGITS]].concat();
        let addresses = |texts: &[CString]| texts.iter().map(|it| it.as_ptr() as usize).collect();
        let mut arguments: Vec<usize> = addresses(&texts[..behind_arguments]);
        arguments.push(0);
        let mut variables: Vec<usize> = addresses(&texts[behind_arguments..]);
        variables.extend([id.as_ptr() as usize, 0]);
        Ok(Self { sources, texts, id, arguments, variables })
    }

    /// Puts everything in its place and becomes the program; comes back only with an error.
    fn enter(&mut self) -> io::Error {
        for (place, source) in (FIRST..).zip(&self.sources) {
            // SAFETY: both are numbers; what stood at `place` is closed, which this copy of the
            // process needs no more.
            if unsafe { libc::dup2(*source, place) } < 0 {
                return io::Error::last_os_error();
            }
        }
        let start = self.id.len() - DIGITS;
        write_number(std::process::id(), &mut self.id[start..]);
        // SAFETY: the addresses are those of texts that end with zero and that `self` holds, and both
        // lists end with a null pointer.
        unsafe {
            libc::execve(
                self.texts[0].as_ptr(),
                self.arguments.as_ptr().cast(),
                self.variables.as_ptr().cast(),
            );
        }
        io::Error::last_os_error()
    }
}

/// Writes `number` in decimal at the front of `digits`, which is filled with zero bytes.
fn write_number(number: u32, digits: &mut [u8]) {
    let mut rest = number;
    let length =
        std::iter::successors(Some(number), |it| Some(it / 10).filter(|it| *it > 0)).count();
    for place in (0..length).rev() {
        digits[place] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
}

/// The first `count` descriptors that were passed on, closed in whatever this process starts.
pub(super) fn passed_on(count: usize) -> io::Result<Vec<OwnedFd>> {
    let numbers = (FIRST..).take(count);
    let taken = numbers.map(|number| {
        // SAFETY: only asks whether there is such a descriptor.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, and by the protocol it was put there for this process, in which nothing
        // else knows of it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        let flags = fcntl_getfd(&descriptor)?;
        fcntl_setfd(&descriptor, flags | FdFlags::CLOEXEC)?;
        Ok(descriptor)
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_in_decimal() {
        for number in [0, 7, 10, 4_194_304, u32::MAX] {
            let mut digits = [0; DIGITS];
            write_number(number, &mut digits);
            let text = std::ffi::CStr::from_bytes_until_nul(&digits).unwrap();
            assert_eq!(text.to_str().unwrap(), number.to_string());
        }
    }
}
