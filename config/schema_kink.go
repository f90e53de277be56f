package config

// Why words that IKE shares with KINK have no effect there.
const (
	noSAOfItsOwn = "KINK has no SA of its own beside those for traffic"
	noIdentity   = "the peers of KINK are principals: my_principal and peers_principal"
	noKINKNAT    = "KINK has no NAT traversal"
	ticketsKeys  = "the encryption type of the tickets decides: enctypes"
	noPadding    = "the encryption types of Kerberos pad as they do"
	sendsBound   = "max_retry_to_send and interval_to_send bound the negotiation"
)

// kinkDirectives are KINK's own words, and those of IKE that mean something
// else in KINK, or nothing.
var kinkDirectives = []directive{
	{name: "my_principal", where: inKINK, value: text},
	{name: "peers_principal", where: inKINK, value: text},
	{name: "keytab", where: inKINK, value: pathName},
	{name: "ccache", where: inKINK, value: pathName},
	{name: "krb5_conf", where: inKINK, value: pathName},
	{name: "enctypes", where: inKINK, value: wordList(encTypeWords), once: true},
	{name: "aes_sha1_prf", where: inKINK, value: oneOf(prfSizeWords)},
	{name: "user_to_user", where: inKINK, value: oneOf(userToUserWords)},
	{name: "three_way", where: inKINK, value: boolean},

	{name: "peers_ipaddr", where: inKINK, value: addressList},
	{name: "nonce_size", where: inKINK, value: octets},
	{name: "max_retry_to_send", where: inKINK, value: number},
	{name: "interval_to_send", where: inKINK, value: timeSpan},
	{name: "kmp_sa_grace_period", where: inKINK, value: timeSpan},
	{name: "dpd_delay", where: inKINK, value: timeSpan},
	{name: "kmp_dh_group", where: inKINK, value: groupList, once: true},
	{name: "need_pfs", where: inKINK, value: boolean},

	{name: "natd_public_address", where: inKINK, value: addressList, idle: noKINKNAT},
	{name: "nat_traversal", where: inKINK, value: oneOf(natWords), idle: noKINKNAT, quiet: uint8(NATOff)},
	{name: "my_id", where: inKINK, value: idList, idle: noIdentity},
	{name: "peers_id", where: inKINK, value: idList, idle: noIdentity},
	{name: "verify_id", where: inKINK, value: boolean, idle: "a principal is always verified", quiet: true},
	{name: "initial_contact", where: inKINK, value: boolean, idle: "the epoch in every message tells of a restart", quiet: true},
	{name: "selector_check", where: inKINK, value: oneOf(selectorCheckWords), idle: "the mode must be the policy's", quiet: uint8(CheckExact)},
	{name: "proposal_check", where: inKINK, value: oneOf(proposalCheckWords), idle: "the shorter lifetime holds (RFC 4430 §3.2)", quiet: uint8(CheckObey)},
	{name: "times_per_send", where: inKINK, value: number, idle: "each copy would be a replay", quiet: 1},
	{name: "kmp_sa_lifetime_time", where: inKINK, value: timeSpan, idle: noSAOfItsOwn},
	{name: "kmp_sa_lifetime_byte", where: inKINK, value: octets, idle: noSAOfItsOwn},
	{name: "kmp_sa_nego_time_limit", where: inKINK, value: timeSpan, idle: sendsBound},
	{name: "ipsec_sa_nego_time_limit", where: inKINK, value: timeSpan, idle: sendsBound},
	{name: "kmp_auth_method", where: inKINK, value: wordList(authWords), once: true, idle: "Kerberos authenticates"},
	{name: "parent_child_strength", where: inKINK, value: boolean, idle: noSAOfItsOwn},
	{name: "random_pad_content", where: inKINK, value: boolean, idle: noPadding},
	{name: "random_padlen", where: inKINK, value: boolean, idle: noPadding},
	{name: "max_padlen", where: inKINK, value: octets, idle: noPadding},
	{name: "kmp_enc_alg", where: inKINK, value: namesOf(encryptionNames), once: true, idle: ticketsKeys},
	{name: "kmp_prf_alg", where: inKINK, value: namesOf(prfNames), once: true, idle: ticketsKeys},
	{name: "kmp_hash_alg", where: inKINK, value: namesOf(integrityNames), once: true, idle: ticketsKeys},
}

// The words of KINK's enumerations. Encryption types are spelled as their
// registry has them, with the short names of krb5.conf behind.
var (
	encTypeWords = []word{
		{"aes256-cts-hmac-sha1-96", 18}, {"aes256-cts-hmac-sha384-192", 20},
		{"aes128-cts-hmac-sha256-128", 19}, {"aes128-cts-hmac-sha1-96", 17},
		{"des3-cbc-sha1-kd", 16}, {"rc4-hmac", 23},
		{"aes256-cts", 18}, {"aes256-sha2", 20}, {"aes128-sha2", 19}, {"aes128-cts", 17},
		{"des3-cbc-sha1", 16}, {"arcfour-hmac", 23},
	}
	prfSizeWords    = []word{{"20", 20}, {"16", 16}}
	userToUserWords = []word{
		{"allow", uint8(UserToUserAllow)}, {"off", uint8(UserToUserOff)},
		{"on", uint8(UserToUserOn)}, {"require", uint8(UserToUserRequire)},
	}
)
