package ikev2

// The reasons of trace events, a closed set. Each one is also the name of a
// counter.
const (
	// what is wrong with a datagram
	reasonInvalidSyntax  = "invalid_syntax"     // does not decode, or lacks a payload that its exchange requires
	reasonMajorVersion   = "major_version"      // IKE version other than 2
	reasonCritical       = "critical_payload"   // an unknown payload with the critical bit
	reasonIntegrity      = "integrity"          // its checksum is wrong
	reasonUnknownSPI     = "unknown_spi"        // no IKE SA has this SPI
	reasonStaleResponse  = "stale_response"     // answers nothing that is outstanding
	reasonOldMessage     = "old_message_id"     // below the window
	reasonFutureMessage  = "invalid_message_id" // above the window
	reasonUnexpected     = "unexpected_message" // no row of the transition table allows it
	reasonUnprotected    = "unprotected"        // a clear message where only protected ones count
	reasonRetransmission = "retransmission"     // a request seen before, answered from the cache or dropped
	reasonFragment       = "fragment"           // a fragment that is not agreed on or fits no others, or whose others are missing
	reasonFragmentLimit  = "fragment_limit"     // incomplete messages hold too much memory
	reasonHoldLimit      = "hold_limit"         // too many messages for a busy IKE SA

	// why an IKE SA is not set up
	reasonNoRemote        = "no_remote"          // no remote accepts this address
	reasonNoProposal      = "no_proposal_chosen" // IKE or child
	reasonInvalidKE       = "invalid_ke"         // the peer's group is not the one chosen, or its value is bad
	reasonCookieRequired  = "cookie_required"    // asked for a cookie
	reasonCookieLimit     = "cookie_limit"       // the peer keeps asking for cookies
	reasonHalfOpenLimit   = "half_open_limit"    // as many half-open IKE SAs as allowed
	reasonSetupTimeout    = "setup_timeout"      // not established in time
	reasonAuthFailed      = "auth_failed"        // AUTH is wrong, or the peer says that ours is
	reasonPPK             = "ppk"                // a post-quantum pre-shared key is mandatory, or unknown, and missing
	reasonIDMismatch      = "id_mismatch"        // the peer's identity is not acceptable
	reasonPeerRefused     = "peer_refused"       // an error notification in the clear
	reasonShutdown        = "shutdown"           // refused because this engine shuts down
	reasonRetransmitLimit = "retransmit_limit"   // the peer does not answer
	reasonNoRoute         = "no_route"           // no address of this host reaches the peer

	// why a child SA is not set up
	reasonTSUnacceptable  = "ts_unacceptable"
	reasonNarrowed        = "narrowed"      // the peer grants part of the traffic; more is to be had in other child SAs
	reasonSinglePair      = "single_pair"   // an SA carries one pair of addresses, and none is named
	reasonModeMismatch    = "mode_mismatch" // transport asked, tunnel configured, or the reverse
	reasonKernel          = "kernel"        // the kernel refused an SA
	reasonNoAdditionalSAs = "no_additional_sas"
	reasonTemporary       = "temporary_failure"
	reasonChildNotFound   = "child_sa_not_found"
	reasonChildRefused    = "child_refused" // another error notification

	// internal
	reasonInternal = "internal"
	reasonRandom   = "random"

	// what went well
	reasonEstablished     = "ike_established"
	reasonReauthenticated = "ike_reauthenticated"
	reasonAuthLifetime    = "auth_lifetime" // the authentication is to be repeated, or could not be
	reasonIKERekeyed      = "ike_rekeyed"
	reasonIKEDeleted      = "ike_deleted"
	reasonChildUp         = "child_up"
	reasonChildRekeyed    = "child_rekeyed"
	reasonChildDown       = "child_down"
	reasonPeerMoved       = "peer_moved"  // an IKE SA has another address, or needs one
	reasonChildMoved      = "child_moved" // or cannot move, in transport mode
	reasonAddresses       = "unacceptable_addresses"
	reasonUnexpectedNAT   = "unexpected_nat"
	reasonCookie2         = "cookie2"        // the answer has not the one that was sent
	reasonPeerAddresses   = "peer_addresses" // a remote has other addresses now
	reasonPathSize        = "path_size"      // no answer to large packets: smaller fragments are tried
	reasonInitialContact  = "initial_contact"
)
