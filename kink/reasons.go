package kink

// The reasons of trace events, a closed set. Each one is also the name of a
// counter.
const (
	// what is wrong with a datagram
	reasonInvalidSyntax  = "invalid_syntax"  // does not decode, or has payloads that its type does not allow
	reasonMajorVersion   = "major_version"   // KINK version other than 1
	reasonDOI            = "doi"             // a domain of interpretation other than IPsec
	reasonRateLimit      = "rate_limit"      // a stranger sends too much that proves nothing
	reasonKerberos       = "kerberos"        // its AP-REQ is refused
	reasonChecksum       = "checksum"        // its checksum is missing or wrong
	reasonReplay         = "replay"          // its authenticator was used before
	reasonReplayCache    = "replay_cache"    // its authenticator cannot be remembered
	reasonDecrypt        = "decrypt"         // its KINK_ENCRYPT cannot be read
	reasonStaleReply     = "stale_reply"     // answers nothing that is outstanding
	reasonLate           = "late"            // from before the peer's restart
	reasonNoEpoch        = "no_epoch"        // its epoch is 0
	reasonUnexpected     = "unexpected"      // an ACK that nothing waits for
	reasonRetransmission = "retransmission"  // a command seen before, answered again
	reasonUnprotected    = "unauthenticated" // an error that anybody could have sent; only remembered

	// why SAs are not set up
	reasonNoRemote        = "no_remote"          // no remote names this principal at this address
	reasonNoProposal      = "no_proposal_chosen" // RFC 4430 §5.5, and below
	reasonInvalidSPI      = "invalid_spi"
	reasonInvalidPayload  = "invalid_payload_type"
	reasonMalformed       = "payload_malformed"
	reasonQuickMode       = "quick_mode_version"
	reasonTraffic         = "traffic" // the IDs fit no selector that names the principal
	reasonKernel          = "kernel"
	reasonKeyExchange     = "key_exchange"
	reasonNoRoute         = "no_route"
	reasonTicket          = "ticket" // no ticket for the peer
	reasonPeerRefused     = "peer_refused"
	reasonRetransmitLimit = "retransmit_limit" // the peer does not answer
	reasonNoAck           = "no_ack"           // the peer does not acknowledge
	reasonUserToUser      = "user_to_user"     // a TGT is asked for, given or refused
	reasonSkew            = "skew"             // the clocks differ
	reasonLimit           = "limit"            // too many transactions of one peer
	reasonShutdown        = "shutdown"
	reasonConfiguration   = "configuration" // the settings do not allow it

	// internal
	reasonRandom   = "random"
	reasonInternal = "internal"
	// reasonKerberosFault is a panic of the Kerberos library that was caught
	reasonKerberosFault = "kerberos_fault"

	// what went well
	reasonChildUp      = "child_up"
	reasonChildDown    = "child_down"
	reasonChildRekeyed = "child_rekeyed"
	reasonPeerRestart  = "peer_restart" // its epoch changed
	reasonPeerDead     = "peer_dead"    // it does not answer STATUS
	// reasonPeerAddresses is that a remote has other addresses now
	reasonPeerAddresses = "peer_addresses"
	reasonNotify        = "notify" // a notification was logged
)
