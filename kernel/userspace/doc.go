// Package userspace is a kernel.Backend that carries ESP, AH and IPComp itself,
// for hosts and containers whose kernel has none. Packets come from a TUN device, to
// which policy-routing rules and a table of its own (4950) lead what policies
// protect; they leave and arrive by raw sockets (IP protocols 50, 51 and 108) or, ESP,
// in the agent's UDP sockets (RFC 3948).
//
// It owns the TUN device, the rules of priority 999 to 1001 that belong to it,
// table 4950 and the nf_tables table "racoon2" of its network namespace, and
// one backend may run in each. What is not its own it never changes, but for
// net.ipv4.conf.all.src_valid_mark where reverse-path filters are strict.
//
// Fail closed, in both directions. Traffic that a Protect policy covers leaves
// in ESP or not at all: what escapes the rules (a socket bound to an interface,
// a fragment without ports) meets a guard in nf_tables. Packets that arrive
// clear though a policy protects them are dropped by nf_tables, but for what a
// socket of the agent waits for. Unreachable routes, rules and guards outlive a
// process that dies, and a new one takes them over; an orderly Close removes
// everything.
//
// Sources: RFC 4301 (processing), RFC 4303 (ESP), RFC 6479 (anti-replay), RFC
// 4302 (AH), RFC 3173 and RFC 2394 (IPComp with DEFLATE), RFC 4106, RFC 7634, RFC
// 3602, RFC 4868, RFC 4543, RFC 8750 (algorithms, in ikev2/transform), RFC 6040 (ECN), RFC 3948 (UDP), RFC 7296 §2.23 (NAT). It never negotiates, and it never
// sets UDP_ENCAP, which would make the kernel swallow ESP in UDP.
//
// Known limits:
//   - In a bundle only the innermost transform may be in tunnel mode, and IPComp
//     alone in none. There are no marks, no XFRM interfaces and no offload.
//   - Of the choices of RFC 4301 §8.1 outer IPv4 packets have DF clear, never a
//     copy of the inner one: what does not fit is cut up by this host or a router,
//     so that a path whose ICMP errors are lost still carries traffic. Inner
//     packets that may not be fragmented are refused with "too big" by the MTU of
//     the route to the peer, so that senders find sizes that need no cutting.
//   - AH refuses IPv4 source routes and IPv6 routing headers that are not used up.
//   - Transport mode in UDP leaves IP options and extension headers out.
//   - Arriving in a tunnel, non-first fragments match only selectors for any
//     port, unless both ends have agreed on them (RFC 4301 §7.3): then they are put
//     together. Leaving, they are put together where policies look at ports; those
//     that are forwarded past the rules, which cannot see ports in them, meet
//     the guard and are dropped.
//   - DSCP and ECN are not copied to UDP-encapsulated packets.
//   - Forwarded packets of a Bypass policy inside a protected range are sent on
//     by this process and meet neither nf_tables' forward hook nor its NAT.
package userspace
