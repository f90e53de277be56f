// Package ikev2 is the IKEv2 engine (RFC 7296): IKE SAs with their exchanges,
// the child SAs negotiated in them, and the requests that put those into a
// kernel. It is sans-IO: an Engine takes one Input and returns all of its
// effects; sockets, kernels, clocks, randomness and heavy arithmetic belong to
// its driver. Every asymmetric operation is a Job, every time is an argument,
// every random octet comes from Config.Rand.
//
// An Engine never reads a configuration, opens a socket, starts a goroutine or
// returns an error for what a peer did: it answers as the RFC says, counts the
// reason out of a closed set, and says in a trace event what was offered, what
// was configured and the first thing that did not match. Nothing of that goes to
// the peer.
//
// A message passes three gates before a handler runs: the window (exchange.go)
// for its Message ID, the SK payload for its integrity, and the transition table
// (table.go, printed by TransitionTable and in TRANSITIONS.md) for its payloads in
// the state at hand.
//
// An extension has a file of its own and touches little else: a row of the table
// for an exchange or a payload that is new, a field of Remote or Child for its
// setting (agent fills it), a call where its notification is sent and another one
// where it is taken, next to those that stand there (sendInit, initRequest and initAnswer for
// IKE_SA_INIT, sendAuth and authenticate for IKE_AUTH, Child.notifies and chooseProposal
// for children), a task if it has exchanges of its own, and a word in extensions() for
// `status`. additional_ts.go, ipcomp.go and reauth.go are examples. What its RFC says
// with MUST goes into testdata/rfc7296-musts.txt or a table beside it, each with the
// test that shows it.
//
// RFCs: 7296; 3173 (IPComp, ipcomp.go), 3948 (ESP in UDP, keepalives), 4302 (AH),
// 4478 (repeated authentication, reauth.go), 4555 (MOBIKE, mobike.go), 5282 (AEADs
// in SK), 6023 (IKE_AUTH without a child), 6989 (checks of public values, in
// transform), 7383 (fragments, fragments.go), 8247 (the algorithms, by
// configuration), 8784 (post-quantum pre-shared keys, ppk.go).
//
// Known limits: authentication by pre-shared key only; no EAP, no Configuration
// payload. MOBIKE looks for another path when the one in use fails, or when addresses or
// routes of this host change; a better one that comes back elsewhere is not looked for.
// A child SA carries one address family, and one in transport mode does not move to
// other addresses. Repeating the authentication makes one child for each selector again;
// further ones, narrowed to packets, come by traffic.
package ikev2
