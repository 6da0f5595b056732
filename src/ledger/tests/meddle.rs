//! A store between the ledger and a real one, that makes what is rare happen.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Put,
    Get,
    Delete,
    List,
}

/// What happens beside the calls.
#[async_trait]
pub trait Meddler: Send + Sync + fmt::Debug + 'static {
    /// Happens before a call has its effect.
    async fn before(&self, _: Call) -> Result<()> {
        Ok(())
    }

    /// Happens when the call has had its effect, and before its reply.
    async fn after(&self, _: Call) -> Result<()> {
        Ok(())
    }
}

/// The error of a store that cannot be reached.
pub fn unreachable() -> Error {
    Error::Generic {
        store: "test",
        source: "timed out".into(),
    }
}

/// Puts a meddler before a store.
pub fn meddled<M: Meddler>(inner: Arc<dyn ObjectStore>, meddler: Arc<M>) -> Arc<dyn ObjectStore> {
    Arc::new(Meddled { inner, meddler })
}

#[derive(Debug)]
struct Meddled<M> {
    inner: Arc<dyn ObjectStore>,
    meddler: Arc<M>,
}

impl<M> fmt::Display for Meddled<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddled")
    }
}

#[async_trait]
impl<M: Meddler> ObjectStore for Meddled<M> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.meddler.before(Call::Put).await?;
        let reply = self.inner.put_opts(location, payload, options).await;
        self.meddler.after(Call::Put).await?;
        reply
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        panic!("a ledger makes no uploads in parts");
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.meddler.before(Call::Get).await?;
        let reply = self.inner.get_opts(location, options).await;
        self.meddler.after(Call::Get).await?;
        reply
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (inner, meddler) = (Arc::clone(&self.inner), Arc::clone(&self.meddler));
        locations
            .and_then(move |location| {
                let (inner, meddler) = (Arc::clone(&inner), Arc::clone(&meddler));
                async move {
                    meddler.before(Call::Delete).await?;
                    inner.delete(&location).await?;
                    meddler.after(Call::Delete).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, meddler) = (Arc::clone(&self.inner), Arc::clone(&self.meddler));
        let prefix = prefix.cloned();
        stream::once(async move {
            meddler.before(Call::List).await?;
            // Collected at once: the reply of a listing is one moment's truth.
            let all: Vec<_> = inner.list(prefix.as_ref()).try_collect().await?;
            meddler.after(Call::List).await?;
            Ok::<_, Error>(stream::iter(all.into_iter().map(Ok)))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        panic!("a ledger does not ask for this");
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        panic!("a ledger copies nothing");
    }
}
