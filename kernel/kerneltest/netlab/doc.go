// Package netlab makes small networks of network namespaces for tests and for
// the demonstration: namespaces, veth pairs between them, addresses, routes,
// masquerading, captures of what is on the wire, frames injected into it, and
// ping. It needs root and no external program.
//
// A namespace lives as long as its descriptor, so a process that dies leaves
// nothing behind, but for the names that Publish gave. Whatever a Lab made is
// gone after Close. Linux only; on other systems the package is empty.
//
// Sources: namespaces(7), veth(4), packet(7), RFC 792 and RFC 4443 (echo),
// RFC 3948 §2 (what is ESP in UDP).
package netlab
