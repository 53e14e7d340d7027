//! `#[port]`, the attribute of every port. It writes the delegating lines of the fault simulation.

use proc_macro::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{Error, FnArg, Ident, ItemTrait, Pat, ReturnType, Signature, TraitItem, parse_macro_input};

/// Makes an asynchronous trait a port.
///
/// With the feature `fakes`, `shiftwork_ports::fake::Gated` implements the port over any implementation: each call goes through a
/// gate, which decides whether it is made and whether its result arrives. A method that is not asynchronous must return another
/// port in a `Box`, whose calls go through the same gate.
#[proc_macro_attribute]
pub fn port(_: TokenStream, item: TokenStream) -> TokenStream {
    let port = parse_macro_input!(item as ItemTrait);
    let name = &port.ident;
    let methods = port.items.iter().map(|item| match item {
        TraitItem::Fn(method) => gated(&method.sig),
        other => Err(Error::new_spanned(other, "a port has methods only")),
    });
    match methods.collect::<Result<Vec<_>, _>>() {
        Ok(methods) => quote! {
            #[::async_trait::async_trait]
            #port

            #[cfg(feature = "fakes")]
            #[::async_trait::async_trait]
            impl<P, G> #name for ::shiftwork_ports::fake::Gated<P, G>
            where
                P: ::core::ops::Deref + Send + Sync,
                P::Target: #name,
                G: ::shiftwork_ports::fake::Gate,
            {
                #(#methods)*
            }
        }
        .into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// A method that makes the same call through the gate.
fn gated(signature: &Signature) -> Result<proc_macro2::TokenStream, Error> {
    let method = &signature.ident;
    let arguments = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Receiver(_) => None,
        FnArg::Typed(argument) => Some(&*argument.pat),
    });
    let arguments: Vec<&Ident> = arguments
        .map(|pattern| match pattern {
            Pat::Ident(name) => Ok(&name.ident),
            other => Err(Error::new_spanned(other, "an argument of a port is a name")),
        })
        .collect::<Result<_, _>>()?;
    if signature.asyncness.is_some() {
        return Ok(quote! { #signature { self.gate.pass(self.port.#method(#(#arguments),*)).await } });
    }
    match &signature.output {
        ReturnType::Type(_, given) if given.to_token_stream().to_string().starts_with("Box < dyn ") => Ok(quote! {
            #signature {
                Box::new(::shiftwork_ports::fake::Gated { port: self.port.#method(#(#arguments),*), gate: &self.gate })
            }
        }),
        ReturnType::Type(..) | ReturnType::Default => {
            Err(Error::new_spanned(signature, "a method of a port is `async`, or returns another port as `Box<dyn …>`"))
        }
    }
}
