//! A network between a function and what it calls, as far as it is slow: whatever is sent arrives half a round trip later.
//! A connection stands after one round trip.

use std::{net::SocketAddr, thread, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::spawn_blocking,
    time::Instant,
};

/// Leads to `server`, `round_trip` away, until the runtime ends.
pub(crate) async fn relay(server: SocketAddr, round_trip: Duration) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((here, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(there) = TcpStream::connect(server).await else { return };
                if here.set_nodelay(true).and(there.set_nodelay(true)).is_err() {
                    return;
                }
                // The loopback's own handshake took no time: what is sent first waits for it.
                wait_until(Instant::now() + round_trip).await;
                let (asked, answer) = here.into_split();
                let (answers, request) = there.into_split();
                let late = round_trip / 2;
                tokio::join!(carry(asked, request, late), carry(answers, answer, late));
            });
        }
    });
    Ok(address)
}

/// Waits more exactly than the runtime's timers do, which count in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a network takes its time")]
async fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    // A wait that was cut short is over.
    let _ = spawn_blocking(move || thread::sleep(left)).await;
}

/// Carries bytes one way, each as late as all others, however many are on their way.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, late: Duration) {
    let (sent, mut on_the_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            if sent.send((Instant::now() + late, bytes[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = on_the_way.recv().await {
            wait_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
    // Whoever has heard the other side's end is told of it; where the connection is gone, nobody is.
    drop(to.shutdown().await);
}
