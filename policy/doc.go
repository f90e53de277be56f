// Package policy is the policy manager, what spmd is in the original racoon2:
// it turns the selectors of the configuration into entries of the kernel's SPD
// (RFC 4301 §4.4.1), keeps them there, takes them out again, and answers an
// acquire of the kernel by asking the right engine for a child SA.
//
// It owns the policies that it has installed, and no other: policies of other
// programs are never changed or removed, with the one exception below. It
// speaks to no peer, and holds no SA but those whose keys are in the
// configuration (static_ipsec).
//
// Manager is a state machine without I/O. Handle takes one input and appends
// all of its effects to an Outbox; Deadline says when the next Timeout is due.
//
// # From selectors to policies
//
// Each source address of a selector makes a pair with each destination address
// of the same family, macros standing for this host's addresses (Expand). A
// kernel without port ranges gets one policy for each block of ports that the
// range consists of. Where policies have a forward direction (Linux), inbound
// ones get a twin there: tunnel policies, because what leaves the tunnel may be
// routed on; discard and bypass policies, because RFC 4301's inbound SPD means
// arriving traffic whether it stays here or not. Transport mode has no twin, as
// its traffic ends here. Of a bundle, the first transform is the tunnel, and the
// others protect the tunnel's packets in transport mode.
//
// Where the kernel's own packets meet policies, IPv6 neighbour discovery is let
// pass when a selector would catch it (Config.NeighborDiscovery).
//
// # Priorities
//
// Every policy has an explicit priority; a lower number is stronger:
//
//	2^30 + order·2^19 + breadth·2^4 + level
//
// order is the selector's order directive, 1 to 4094 (greater numbers count as
// 4094), 4095 without one, and 0 for what is built in. breadth ranks the prefixes, 0 for a pair of
// hosts, 16640 for any to any: fewer free bits in both together come first, and
// where two pairs have the same number of them, the pair with the narrower
// remote prefix. level, 0 to 15, parts selectors with the same prefixes and
// overlapping ports or protocols: a protocol before any, fewer ports before
// more, then the order of the configuration. Below 2^30 and above 3·2^30 there
// is room for policies of others. Priorities follow from a selector and the few
// that share its prefixes, so that a change elsewhere moves nothing.
//
// # Order of changes
//
// Policies are added strongest first, so that an exception is in place before
// what it is an exception to. When settings or addresses change, new and
// changed policies go in first; old ones leave only after the kernel has
// answered for all of those, weakest first, and an old one stays as long as a
// new one that overlaps it could not be installed. A policy that becomes weaker
// does so last. Traffic that is protected before and after a change therefore
// never finds a moment without protection.
// Policies that stay the same are not touched. At Shutdown everything leaves,
// inbound before outbound.
//
// # Leftovers and others' hands
//
// A policy that the kernel already has for the same selector and direction is
// taken for one that an earlier run left when it was killed: it is replaced,
// with a warning, and is ours from then on. A policy of ours that somebody
// removes is installed again, at most once a second, with a warning a minute.
// After lost events the kernel's policies are dumped and compared.
//
// # Acquires
//
// An acquire is matched by the policy's number, by its reqid, or by the packet;
// the child that belongs to the selector is asked for at the first engine of
// acceptable_kmp that runs here. Further acquires for it wait while one is
// under way. When an engine gives up the next one is asked; after the last one
// the child rests, 1 s at first and 60 s at most, and is tried again if traffic
// has met it meanwhile.
//
// # Names
//
// A side of a selector may be a host name, or a wildcard for all names below
// one. Names brings the addresses that the resolver has found; each makes a
// policy as if it were written in the configuration, and PolicyStands answers
// as soon as the kernel has taken them. Traffic to an address that a name
// has left is discarded until the resolver says that its grace is over, where
// it was protected before and would otherwise go out in clear.
//
// # Dynamic policies
//
// AddPolicy puts a pair of policies beside those of the configuration for the
// time that it says; a timer here ends them, not the kernel's. The same is done
// for the child of a tunnel whose far end was not known before (IP_RW), for as
// long as its SAs live. Migrate moves the policies of a tunnel to other ends.
//
// # Tunnels' ends
//
// A tunnel ends at addresses, at what host names have, at one of this host's
// addresses that a macro stands for, or, where the selector says nothing of this
// host's end, at its address towards the peer (Route). Of several ends of the
// peer the first one that is known holds. As soon as a child stands, policies end
// where its SAs do, and follow when an engine moves them (Moved). Until an end is
// known, traffic is discarded, unless the policy's level is use.
//
// # Static SAs
//
// A selector with Manual has SAs for its own direction with the keys that the
// settings bring: one for each pair of hosts, or one for its tunnel. They come
// before its policies and go with them; a changed key is another SA after the
// old one has gone. They have no anti-replay service, and no end of life.
//
// # Children that stand
//
// A selector with Start has its child asked for when the settings come, again
// after failures, and again when it is lost, with pauses that grow if that goes
// on. Down has it stay down until an operator or traffic asks for it.
//
// # Work
//
// The plan is kept. A change of a name, of a dynamic policy, of a child or of an
// address of this host works out anew what it concerns, and ranks those that
// share its prefixes; new settings are compared as a whole. What the kernel has
// to do is proportional to what changed.
//
// Known limits: policies of selectors that were taken out of the configuration
// between a crash and the next start are not recognised and stay in the kernel.
// Tunnels whose far end cannot be known before the peer comes (IP_RW) have no
// policy until then. A wildcard is one selector: a change of a name below it is
// work for all names below it, of which it has at most as many as policies.
package policy
