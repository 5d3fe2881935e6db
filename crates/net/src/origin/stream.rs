//! A connection to the origin, in clear or over TLS, that tells whether anything came of it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The bytes' way.
#[derive(Debug)]
pub(crate) enum Transport {
    Clear(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

/// Does the same with whichever transport it is.
macro_rules! each {
    ($transport:expr, $name:ident => $what:expr) => {
        match $transport {
            Transport::Clear($name) => $what,
            Transport::Tls($name) => $what,
            #[cfg(test)]
            Transport::Memory($name) => $what,
        }
    };
}

#[derive(Debug)]
pub(crate) struct Stream {
    transport: Transport,
    heard: Arc<AtomicBool>,
}

/// Whether the origin has said anything since this was last asked to forget.
#[derive(Clone, Debug)]
pub(crate) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(crate) fn forget(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(crate) fn anything(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stream {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, heard: Arc::default() }
    }

    pub(crate) fn heard(&self) -> Heard {
        Heard(Arc::clone(&self.heard))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { transport, heard } = self.get_mut();
        let before = buffer.filled().len();
        ready!(each!(transport, stream => Pin::new(stream).poll_read(cx, buffer)))?;
        if buffer.filled().len() > before {
            heard.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(&mut self.get_mut().transport, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let transport = &mut self.get_mut().transport;
        each!(transport, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        each!(&self.transport, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.get_mut().transport, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.get_mut().transport, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
