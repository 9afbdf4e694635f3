//! The way of `http:` through a proxy, whose requests name the whole address.

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Whatever host is asked for: the connection goes to the proxy.
#[derive(Debug)]
pub(super) struct ToProxy {
    pub(super) proxy: Uri,
    pub(super) inner: DefaultResolver,
}

impl Resolver for ToProxy {
    fn resolve(
        &self,
        _: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.inner.resolve(&self.proxy, config, timeout)
    }
}

/// Makes connections whose requests name the whole address.
#[derive(Debug)]
pub(super) struct WholeAddress;

impl<In: Transport> Connector<In> for WholeAddress {
    type Out = Named<In>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Named<In>>, ureq::Error> {
        let authority = details.uri.authority().map(|authority| authority.as_str());
        let host = authority.and_then(|authority| authority.rsplit('@').next());
        let origin = format!("http://{}", host.unwrap_or_default());
        Ok(chained.map(|inner| Named {
            inner,
            origin,
            begins: true,
        }))
    }
}

/// A connection that writes the scheme and host before the path of each request.
#[derive(Debug)]
pub(super) struct Named<In> {
    inner: In,
    origin: String,
    /// What is sent next begins a request; a body may look like one.
    begins: bool,
}

impl<In: Transport> Transport for Named<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.inner.buffers().output();
        let more = self.origin.len();
        let begins = std::mem::take(&mut self.begins);
        let method = [&b"GET "[..], b"HEAD ", b"POST ", b"PATCH ", b"PUT "]
            .into_iter()
            .filter(|_| begins)
            .find(|m| output.starts_with(m));
        let method = method.map_or(0, <[u8]>::len);
        let is_head = method > 0 && output.get(method) == Some(&b'/');
        if !is_head || amount + more > output.len() {
            return self.inner.transmit_output(amount, timeout);
        }
        output.copy_within(method..amount, method + more);
        output[method..method + more].copy_from_slice(self.origin.as_bytes());
        self.inner.transmit_output(amount + more, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.begins = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}
