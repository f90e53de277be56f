package config

// kinkExplanations are of the words of kink (RFC 4430), where they are not as in IKE.
var kinkExplanations = map[string]explanation{
	"my_principal": {means: "The Kerberos principal of this host. Without @REALM the realm is that which krb5.conf has for the host in it.",
		otherwise: "kink/ with this host's full name, in its realm", example: `"kink/a.example.org@EXAMPLE.ORG"`},
	"peers_principal": {means: "The Kerberos principal of the peer. It alone gets SAs for the selectors of this remote.",
		otherwise: "kink/ with a name of the peer: for each selector the host names in its dst, or the names that /etc/hosts has for the addresses in it; nobody else gets SAs for the selector",
		example:   `"kink/c.example.org@EXAMPLE.ORG"`},
	"keytab": {means: "The file with this host's Kerberos keys. It is read again when it changes.", otherwise: "what KRB5_KTNAME says, or /etc/krb5.keytab", example: `"/etc/racoon2/krb5.keytab"`},
	"ccache": {means: "A credential cache (a file) with a TGT of this host's principal, for where the keytab has no key of it. The peer's CREATE is then taken with user-to-user tickets alone.",
		otherwise: "none", example: `"/tmp/krb5cc_0"`},
	"krb5_conf": {means: "The configuration of Kerberos: realms, their KDCs, and the realms of hosts.", otherwise: "what KRB5_CONFIG says, or /etc/krb5.conf", example: `"/etc/racoon2/krb5.conf"`},
	"enctypes": {means: "The encryption types of Kerberos that are used and taken, best first (RFC 3961). Those deprecated by RFC 8429 are used when they are named.",
		builtin: "{ aes256-cts-hmac-sha1-96; aes256-cts-hmac-sha384-192; aes128-cts-hmac-sha256-128; aes128-cts-hmac-sha1-96; }", example: "{ aes256-cts-hmac-sha384-192; }"},
	"aes_sha1_prf": {means: "How many octets of the hash go into the prf of the AES-SHA1 encryption types: 20, which RFC 3961 and RFC 3962 say and the original's kinkd does, or 16, which Kerberos libraries do. Both ends must say the same.",
		builtin: "20", example: "16"},
	"user_to_user": {means: "User-to-user tickets (RFC 4430 §3.1), for hosts without a key in a keytab: used where the peer or the KDC asks for them (allow), never, from the beginning (on), or from the beginning and no others are taken (require).",
		builtin: "allow", example: "on"},
	"three_way": {means: "Answers every CREATE with a nonce of this host's own and asks for an ACK, so that the keys do not depend on the peer's random numbers alone.", builtin: "off", example: "on"},

	"kink/peers_ipaddr": {means: "The addresses at which the peer may stand. The agent initiates to the one that the traffic is for, or to the first.",
		otherwise: "any: the principal tells who the peer is. The port is 910 where none is written", example: "{ 192.0.2.2; 192.0.2.3; }"},
	"kink/nonce_size":          {means: "The size of nonces, 8 to 256 octets (RFC 2409 §5).", builtin: "32", example: "16"},
	"kink/max_retry_to_send":   {means: "How often a message is sent again before the peer counts as silent, 1 to 100 times.", builtin: "4", example: "6"},
	"kink/interval_to_send":    {means: "The wait before a message is sent again; it doubles every time, up to a minute. 1 second to 1 hour.", builtin: "1", example: "2 sec"},
	"kink/kmp_sa_grace_period": {means: "How long an inbound SA outlives its deletion, for packets that are under way (RFC 4430 §3.3).", builtin: "10", example: "3 sec"},
	"kink/dpd_delay":           {means: "Asks a silent peer for its STATUS after so long (RFC 4430 §3.7); 0 never.", builtin: "60", example: "5 min"},
	"kink/kmp_dh_group": {means: "The groups for PFS, by name or number; the first is offered. Peers that cannot do without may have SAs without it, unless need_pfs is on.",
		otherwise: "none: the keys come from the tickets alone; with need_pfs on those of IKEv2", example: "{ modp2048; ecp256; }"},
	"kink/need_pfs": {means: "Refuses SAs without a key exchange of their own.", builtin: "off", example: "on"},
}
