package config

import "slices"

// place is a set of the places where a directive may stand.
type place uint16

// The places.
const (
	inTop place = 1 << iota
	inInterface
	inResolver
	inRemote
	inIKEv1
	inIKEv2
	inKINK
	inSelector
	inPolicy
	inIPsec
	inSA
	inProvide
	inEAP
	inDefault

	inKMP = inIKEv1 | inIKEv2 | inKINK
	inIKE = inIKEv1 | inIKEv2
)

// placeNames are what the places are called in findings.
var placeNames = map[place]string{
	inTop: "the top level", inInterface: "interface", inResolver: "resolver", inRemote: "remote",
	inIKEv1: "ikev1", inIKEv2: "ikev2", inKINK: "kink", inSelector: "selector", inPolicy: "policy",
	inIPsec: "ipsec", inSA: "sa", inProvide: "provide", inEAP: "eap", inDefault: "default",
}

// directive is one row of the language: a word, where it may stand and what
// follows it.
type directive struct {
	name  string
	where place
	value value
	// idle says why the directive has no effect; "" means that it has one.
	idle string
	// quiet is the value of an idle directive that is not warned about, because
	// it is what happens anyway; nil is off, or 0.
	quiet any
	// once makes a second use in one section an error; otherwise the last
	// one wins, with a warning.
	once bool
}

// value is what follows a directive.
type value struct {
	syntax string // as it is shown in hints
	read   func(r *resolver, e *entry) (any, bool)
}

// notYet is why many directives have no effect.
const notYet = "this version does not build it yet"

// sections are the words of the top level and of default. setval and include
// are read before anything else.
var sections = map[string]place{
	"interface": inInterface, "resolver": inResolver, "remote": inRemote, "selector": inSelector,
	"policy": inPolicy, "ipsec": inIPsec, "sa": inSA, "default": inDefault, "addresspool": inTop,
}

// directives are the rows of all sections.
var directives = [][]directive{
	interfaceDirectives, remoteDirectives, kmpDirectives, algorithmDirectives,
	ikev1Directives, ikev2Directives, kinkDirectives, trafficDirectives,
}

var interfaceDirectives = []directive{
	{name: "ike", where: inInterface, value: addressList, once: true},
	{name: "kink", where: inInterface, value: addressList, once: true},
	{name: "spmd", where: inInterface, value: socketList, once: true},
	{name: "spmd_password", where: inInterface, value: pathName, once: true},
	{name: "application_bypass", where: inInterface, value: boolean, once: true},
	{name: "kernel", where: inInterface, value: oneOf(kernelWords), once: true},
	{name: "metrics", where: inInterface, value: address, once: true},
	{name: "log_format", where: inInterface, value: oneOf(logFormatWords), once: true},

	{name: "resolver", where: inResolver, value: boolean},
	{name: "nameserver", where: inResolver, value: nameServerList},
	{name: "dns_query", where: inResolver, value: addressList},
	{name: "cache_size", where: inResolver, value: number},
	{name: "ttl_floor", where: inResolver, value: span},
	{name: "ttl_ceiling", where: inResolver, value: span},
	{name: "serve_stale", where: inResolver, value: span},
	{name: "prefetch", where: inResolver, value: boolean},
	{name: "gate_time", where: inResolver, value: span},
	{name: "gate_outcome", where: inResolver, value: oneOf(gateWords)},
	{name: "address_grace_period", where: inResolver, value: span},
	{name: "address_grace_action", where: inResolver, value: oneOf(graceWords)},
	{name: "rate_limit", where: inResolver, value: number},
	{name: "rate_burst", where: inResolver, value: number},
	{name: "require_dnssec", where: inResolver, value: boolean},
	{name: "forward", where: inResolver, value: domainList},
}

var remoteDirectives = []directive{
	{name: "ikev1", where: inRemote, value: block(inIKEv1)},
	{name: "ikev2", where: inRemote, value: block(inIKEv2)},
	{name: "kink", where: inRemote, value: block(inKINK)},
	{name: "acceptable_kmp", where: inRemote, value: wordList(kmpWords)},
	{name: "selector_index", where: inRemote, value: reference},
}

var kmpDirectives = []directive{
	{name: "logmode", where: inKMP, value: oneOf(logModeWords)},
	{name: "logfile", where: inKMP, value: pathName},
	{name: "passive", where: inKMP, value: boolean},
	{name: "use_coa", where: inKMP, value: boolean, idle: "Mobile IPv6 is not built"},
	{name: "peers_ipaddr", where: inIKE, value: addressList},
	{name: "peers_kmp_port", where: inKMP, value: portNumber},
	{name: "natd_public_address", where: inIKE, value: addressList},
	{name: "verify_id", where: inIKE, value: boolean},
	{name: "verify_pubkey", where: inKMP, value: boolean, idle: "certificates are not built yet"},
	{name: "send_cert", where: inKMP, value: boolean, idle: "certificates are not built yet"},
	{name: "send_cert_req", where: inKMP, value: boolean, idle: "certificates are not built yet"},
	{name: "nonce_size", where: inIKE, value: octets},
	{name: "initial_contact", where: inIKE, value: boolean},
	{name: "support_proxy", where: inKMP, value: boolean, idle: "it is a matter of IKEv1 alone"},
	{name: "nat_traversal", where: inIKE, value: oneOf(natWords)},
	{name: "my_id", where: inIKE, value: idList},
	{name: "peers_id", where: inIKE, value: idList},
	{name: "selector_check", where: inIKE, value: oneOf(selectorCheckWords)},
	{name: "proposal_check", where: inIKE, value: oneOf(proposalCheckWords)},
	{name: "random_pad_content", where: inIKE, value: boolean},
	{name: "random_padlen", where: inIKE, value: boolean},
	{name: "max_padlen", where: inIKE, value: octets},
	{name: "max_retry_to_send", where: inIKE, value: number},
	{name: "interval_to_send", where: inIKE, value: timeSpan},
	{name: "times_per_send", where: inIKE, value: number},
	{name: "kmp_sa_lifetime_time", where: inIKE, value: timeSpan},
	{name: "kmp_sa_lifetime_byte", where: inIKE, value: octets, idle: "an IKE SA carries its own few messages only, and is bounded by time"},
	{name: "kmp_sa_nego_time_limit", where: inIKE, value: timeSpan},
	{name: "kmp_sa_grace_period", where: inIKE, value: timeSpan},
	{name: "ipsec_sa_nego_time_limit", where: inIKE, value: timeSpan},
	{name: "kmp_auth_method", where: inIKE, value: wordList(authWords), once: true},
	{name: "mobility_role", where: inKMP, value: oneOf(mobilityWords), idle: "Mobile IPv6 is not built"},
	{name: "script", where: inKMP, value: scripts},
	{name: "parent_child_strength", where: inIKE, value: boolean},
	{name: "need_pfs", where: inIKE, value: boolean},
	{name: "my_public_key", where: inIKE, value: publicKey, idle: "certificates are not built yet"},
	{name: "peers_public_key", where: inIKE, value: publicKey, idle: "certificates are not built yet"},
	{name: "pre_shared_key", where: inIKE, value: keyFile},
	{name: "dpd_delay", where: inIKE, value: timeSpan},
}

var algorithmDirectives = []directive{
	{name: "kmp_enc_alg", where: inIKEv2, value: encryptionList, once: true},
	{name: "kmp_prf_alg", where: inIKEv2, value: prfList, once: true},
	{name: "kmp_hash_alg", where: inIKEv2, value: integrityList, once: true},
	{name: "kmp_dh_group", where: inIKEv2, value: groupList, once: true},
	{name: "kmp_enc_alg", where: inIKEv1, value: namesOf(encryptionNames), once: true},
	{name: "kmp_prf_alg", where: inIKEv1, value: namesOf(prfNames), once: true},
	{name: "kmp_hash_alg", where: inIKEv1, value: namesOf(integrityNames), once: true},
	{name: "kmp_dh_group", where: inIKEv1, value: namesOf(groupNames), once: true},

	{name: "esp_enc_alg", where: inSA, value: encryptionList, once: true},
	{name: "esp_auth_alg", where: inSA, value: integrityList, once: true},
	{name: "ah_auth_alg", where: inSA, value: integrityList, once: true},
	{name: "ipcomp_alg", where: inSA, value: compressList, once: true},
	{name: "esp_addke_alg", where: inSA, value: namesOf(additionalKENames), once: true, idle: "additional key exchanges (RFC 9370) are not built yet"},
	{name: "ah_addke_alg", where: inSA, value: namesOf(additionalKENames), once: true, idle: "additional key exchanges (RFC 9370) are not built yet"},
}

var ikev1Directives = []directive{
	{name: "exchange_mode", where: inIKEv1, value: oneOf(exchangeModeWords)},
	{name: "my_gssapi_id", where: inIKEv1, value: text},
	{name: "dpd", where: inIKEv1, value: boolean},
	{name: "dpd_retry", where: inIKEv1, value: timeSpan},
	{name: "dpd_maxfail", where: inIKEv1, value: number},
}

var ikev2Directives = []directive{
	{name: "cookie_required", where: inIKEv2, value: boolean},
	{name: "fragmentation", where: inIKEv2, value: boolean},
	{name: "auth_lifetime", where: inIKEv2, value: timeSpan},
	{name: "mobike", where: inIKEv2, value: boolean},
	{name: "window_size", where: inIKEv2, value: number},
	{name: "send_peers_id", where: inIKEv2, value: boolean},
	{name: "request", where: inIKEv2, value: wordList(requestWords), idle: notYet},
	{name: "provide", where: inIKEv2, value: block(inProvide), idle: notYet},
	{name: "max_ip4_alloc", where: inIKEv2, value: number, idle: "the original has the word and no use for it"},
	{name: "max_ip6_alloc", where: inIKEv2, value: number, idle: "the original has the word and no use for it"},
	{name: "require_config_payload", where: inIKEv2, value: boolean, idle: notYet},
	{name: "addke_required", where: inIKEv2, value: boolean, idle: "additional key exchanges (RFC 9370) are not built yet"},
	{name: "addke_unrequested", where: inIKEv2, value: boolean, idle: "RFC 9370 has no answer to an offer that was not made"},
	{name: "offer_intermediate", where: inIKEv2, value: boolean, idle: "IKE_INTERMEDIATE (RFC 9242) is not built yet"},
	{name: "use_ppk", where: inIKEv2, value: boolean},
	{name: "ppk_mandatory", where: inIKEv2, value: boolean},
	{name: "ppk_id", where: inIKEv2, value: text},
	{name: "childless", where: inIKEv2, value: boolean},
	{name: "radius_server", where: inIKEv2 | inEAP, value: address, idle: "EAP is not built yet"},
	{name: "radius_port", where: inIKEv2 | inEAP, value: portNumber, idle: "EAP is not built yet"},
	{name: "radius_secret_file", where: inIKEv2 | inEAP, value: pathName, idle: "EAP is not built yet"},
	{name: "eap", where: inIKEv2, value: block(inEAP), idle: "EAP is not built yet"},

	{name: "addresspool", where: inProvide, value: reference},
	{name: "dns", where: inProvide, value: addressList},
	{name: "dhcp", where: inProvide, value: addressList},
	{name: "application_version", where: inProvide, value: text},
	{name: "mip6_home_prefix", where: inProvide, value: address},
}

var trafficDirectives = []directive{
	{name: "order", where: inSelector, value: number},
	{name: "direction", where: inSelector, value: oneOf(directionWords)},
	{name: "src", where: inSelector, value: trafficList},
	{name: "dst", where: inSelector, value: trafficList},
	{name: "upper_layer_protocol", where: inSelector, value: upperLayer},
	{name: "next_header_including", where: inSelector, value: protocolName, idle: "no kernel asks for it"},
	{name: "tagged", where: inSelector, value: text, idle: "it is a tag of BSD's pf"},
	{name: "policy_index", where: inSelector, value: reference},
	{name: "reqid", where: inSelector, value: number},

	{name: "action", where: inPolicy, value: oneOf(actionWords)},
	{name: "install", where: inPolicy, value: boolean},
	{name: "remote_index", where: inPolicy, value: reference},
	{name: "ipsec_index", where: inPolicy, value: referenceList},
	{name: "ipsec_mode", where: inPolicy, value: oneOf(modeWords)},
	{name: "ipsec_level", where: inPolicy, value: oneOf(levelWords)},
	{name: "my_sa_ipaddr", where: inPolicy, value: address},
	{name: "peers_sa_ipaddr", where: inPolicy, value: address},
	{name: "initial_child_ke", where: inPolicy, value: oneOf(initialChildKEWords)},

	{name: "start", where: inPolicy, value: boolean},
	{name: "sa_per_pair", where: inPolicy, value: boolean},
	{name: "if_id", where: inPolicy, value: number32},
	{name: "xfrm_interface", where: inPolicy, value: interfaceName},
	{name: "mark", where: inPolicy, value: markValue},
	{name: "hw_offload", where: inPolicy, value: oneOf(offloadWords)},
	{name: "mss_clamp", where: inPolicy, value: mssValue},

	{name: "ipsec_sa_lifetime_time", where: inIPsec, value: timeSpan},
	{name: "ipsec_sa_lifetime_byte", where: inIPsec, value: octets},
	{name: "ext_sequence", where: inIPsec, value: boolean},
	{name: "replay_window", where: inIPsec, value: number},
	{name: "sa_index", where: inIPsec, value: referenceList},

	{name: "sa_protocol", where: inSA, value: oneOf(saProtocolWords)},
	{name: "spi", where: inSA, value: number32},
}

// rows finds the row of a word at a place. It is filled by init because the
// readers of blocks look into it, which makes a cycle of the table and itself.
var rows map[rowKey]*directive

type rowKey struct {
	where place
	name  string
}

func init() {
	rows = map[rowKey]*directive{}
	for _, group := range directives {
		for i := range group {
			for p := inTop; p <= inDefault; p <<= 1 {
				if group[i].where&p != 0 {
					rows[rowKey{p, group[i].name}] = &group[i]
				}
			}
		}
	}
}

// lookup finds the row of a word at a place, or nil.
func lookup(where place, name string) *directive { return rows[rowKey{where, name}] }

// wordsOf returns the directives that may stand at a place.
func wordsOf(where place) []string {
	var words []string
	for key := range rows {
		if key.where == where {
			words = append(words, key.name)
		}
	}
	slices.Sort(words)
	return words
}
