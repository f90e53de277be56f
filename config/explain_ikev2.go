package config

// ikev2Explanations are of the algorithms and of ikev2.
var ikev2Explanations = map[string]explanation{
	"kmp_enc_alg":  {means: "The ciphers of the IKE SA, best first. One without a key length stands for all of its lengths. AEADs and other ciphers become proposals of their own (RFC 7296 §3.3).", builtin: "{ aes_gcm,256; aes_gcm,128; chacha20_poly1305; aes_cbc,256; aes_cbc,128; }", example: "{ aes_gcm,256; }"},
	"kmp_prf_alg":  {means: "The pseudo-random functions, from which keys are made, best first.", builtin: "{ hmac_sha2_256; hmac_sha2_384; hmac_sha2_512; }", example: "{ hmac_sha2_512; }"},
	"kmp_hash_alg": {means: "The integrity algorithms of the IKE SA, best first. AEADs need none: non_auth, or an empty list.", builtin: "{ hmac_sha2_256; hmac_sha2_384; hmac_sha2_512; }", example: "{ hmac_sha2_512; }"},
	"kmp_dh_group": {means: "The key exchanges, by name or number, best first.", builtin: "{ curve25519; ecp256; ecp384; modp2048; }", example: "{ ecp384; }"},

	"esp_enc_alg":   {means: "The ciphers of ESP, best first, as in kmp_enc_alg.", builtin: "{ aes_gcm,256; aes_gcm,128; chacha20_poly1305; aes_cbc,256; aes_cbc,128; }", example: "{ aes_gcm,256; }"},
	"esp_auth_alg":  {means: "The integrity algorithms of ESP, best first; AEADs need none.", builtin: "{ hmac_sha2_256; hmac_sha2_384; hmac_sha2_512; }", example: "{ hmac_sha2_512; }"},
	"ah_auth_alg":   {means: "The integrity algorithms of AH, best first.", builtin: "{ hmac_sha2_256; hmac_sha2_384; hmac_sha2_512; }", example: "{ hmac_sha2_512; }"},
	"ipcomp_alg":    {means: "The algorithms of IPComp, best first. Both ends must have IPComp in their policy, beside ESP or AH (RFC 7296 §2.22).", builtin: "{ deflate; }", example: "{ deflate; lzs; }"},
	"esp_addke_alg": {means: "Additional key exchanges (RFC 9370) for ESP and its IKE SA.", otherwise: "none", example: "mlkem768"},
	"ah_addke_alg":  {means: "Additional key exchanges (RFC 9370) for AH and its IKE SA.", otherwise: "none", example: "mlkem768"},

	"cookie_required":        {means: "Asks every initiator for a cookie, not only under load (RFC 7296 §2.6).", builtin: "off", example: "on"},
	"fragmentation":          {means: "Sends large IKE messages in fragments of its own (RFC 7383).", builtin: "on", example: "off"},
	"auth_lifetime":          {means: "Repeats the authentication after so long (RFC 4478), with a new IKE SA that has the same children before the old one goes; as a responder, asks the peer to. 0 never.", builtin: "0", example: "8 hours"},
	"mobike":                 {means: "Keeps the SAs when an address changes (RFC 4555).", builtin: "off", example: "on"},
	"send_peers_id":          {means: "The initiator says whom it wants to talk to: IDr with the first peers_id.", builtin: "off", example: "on"},
	"request":                {means: "What the initiator asks for in the Configuration payload.", otherwise: "nothing", example: "{ ip4; ip4_dns; }"},
	"provide":                {means: "What the responder gives in the Configuration payload.", otherwise: "nothing", example: "{ addresspool office; dns 192.0.2.53; }"},
	"max_ip4_alloc":          {means: "How many IPv4 addresses one peer may have.", otherwise: "none", example: "1"},
	"max_ip6_alloc":          {means: "How many IPv6 addresses one peer may have.", otherwise: "none", example: "1"},
	"require_config_payload": {means: "Refuses a childless peer that asks for no configuration.", builtin: "off", example: "on"},
	"addke_required":         {means: "Refuses peers without an additional key exchange (RFC 9370).", builtin: "off", example: "on"},
	"addke_unrequested":      {means: "Answers with an additional key exchange that the peer did not offer.", builtin: "off", example: "on"},
	"offer_intermediate":     {means: "Offers IKE_INTERMEDIATE (RFC 9242).", builtin: "on", example: "off"},
	"use_ppk":                {means: "Uses a post-quantum pre-shared key (RFC 8784).", builtin: "off", example: "on"},
	"ppk_mandatory":          {means: "Refuses to go on without the post-quantum key.", builtin: "off", example: "on"},
	"ppk_id":                 {means: "The name of the post-quantum key, whose octets are in the file ppk/NAME.bin beside the configuration.", otherwise: "none", example: `"key1"`},
	"childless":              {means: "Sets an IKE SA up without its first child (RFC 6023).", builtin: "off", example: "on"},
	"radius_server":          {means: "The RADIUS server behind EAP.", otherwise: "none", example: "192.0.2.9"},
	"radius_port":            {means: "The port of the RADIUS server.", builtin: "1812", example: "1645"},
	"radius_secret_file":     {means: "The file with the secret that is shared with the RADIUS server.", otherwise: "none", example: `"/etc/racoon2/radius"`},
	"eap":                    {means: "The RADIUS server behind EAP, as a block.", otherwise: "none", example: "{ radius_server 192.0.2.9; }"},

	"provide/addresspool": {means: "The pool that the peer's address comes from.", otherwise: "no addresses", example: "office"},
	"dns":                 {means: "Name servers for the peer.", otherwise: "none", example: "192.0.2.53"},
	"dhcp":                {means: "DHCP servers for the peer.", otherwise: "none", example: "192.0.2.67"},
	"application_version": {means: "The version that is told when the peer asks.", otherwise: "none", example: `"racoon2"`},
	"mip6_home_prefix":    {means: "The home prefix of Mobile IPv6.", otherwise: "none", example: "2001:db8:1::/64"},
}
