//! `kura serve`

use super::backend::blocking;
use crate::app::{App, Models, Started};
use crate::audit::AuditLog;
use crate::config::Config;
use crate::tls::Certificate;
use crate::{app, router, run_file};
use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Arguments of `kura serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port to listen on; without TLS loopback only.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

/// Runs the server until SIGINT or SIGTERM. Returns its audit log, to which requests that are cut off later still write.
///
/// # Errors
/// When the address is taken, or something that the server needs cannot be opened.
pub async fn run(config: Config) -> anyhow::Result<Arc<AuditLog>> {
    // First, because they fail fast; connections wait until the models are loaded.
    let certificate = Certificate::open(&config.server)?;
    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.server.listen))?;
    let address = listener.local_addr()?;
    // Commands on this machine need not know the name in the certificate.
    let local = match &certificate {
        Some(_) => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?),
        None => None,
    };
    let local_address = local
        .as_ref()
        .map_or(Ok(address), TcpListener::local_addr)?;
    let loading = config.clone();
    let models = blocking(move || {
        Ok(Models {
            embedder: app::load_embedder(&loading)?,
            reranker: app::load_reranker(&loading)?,
            generator: app::load_generator(&loading)?,
        })
    })
    .await?;
    if let Some(reranker) = &models.reranker {
        app::warm_up(reranker.as_ref(), &config.retrieval).await?;
    }
    let grace = Duration::from_secs(config.server.shutdown_timeout_secs);
    let data_dir = config.data_dir.clone();
    let Started {
        app,
        admin_key,
        local_token,
    } = App::start(config, models).await?;

    let (worker, sync) = (app.spawn_worker(), app.spawn_sync());
    drop(app.spawn_forgetter());
    let _published = run_file::publish(&data_dir, local_address, &local_token)?;
    drop(local_token);
    if let Some(key) = admin_key {
        eprintln!(
            "The admin API key, shown only this once:\n\n    {}\n\nSend it as `Authorization: Bearer …`; only its hash is kept.",
            key.expose_secret()
        );
    }
    let scheme = if certificate.is_some() {
        "https"
    } else {
        "http"
    };
    tracing::info!(server.address = %address, "kura is ready on {scheme}://{address}");

    let stopping = app.stopping.clone();
    let signals = tokio::spawn(stop_on_signal(stopping.clone()));
    let server = async {
        let main = router::serve_with(app.clone(), listener, certificate);
        match local {
            Some(local) => {
                tokio::try_join!(main, router::serve_with(app.clone(), local, None)).map(drop)
            }
            None => main.await,
        }
    };
    let forced = async {
        stopping.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = server => served.context("the server failed")?,
        () = forced => tracing::warn!("some requests did not end in time and were cut off"),
    }
    app.stopping.cancel();
    signals.abort();
    worker.await.context("the background worker failed")?;
    sync.await.context("keeping sources in step failed")?;
    app.limits.budgets.write().await;
    tracing::info!("kura has stopped");
    Ok(Arc::clone(&app.audit))
}

async fn stop_on_signal(stopping: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
        _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
    }
    stopping.cancel();
    Ok(())
}
