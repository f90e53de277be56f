package config

// resolverExplanations are of the resolver section.
var resolverExplanations = map[string]explanation{
	"resolver/resolver": {means: "Runs the DNS proxy, which keeps the policies of selectors with host names in step with their addresses.", builtin: "off", example: "on"},
	"nameserver": {means: "The name servers that the proxy asks, in order of preference. Behind tls stands the name that the server's certificate must show; it is then asked over TLS (RFC 7858), and by its name where the server itself is written as one. The address of a server that is given by name comes from the other servers or from the hosts file.",
		otherwise: "none; port 53 where none is written, and 853 with tls", example: `{ 192.0.2.53; 192.0.2.54 tls "dns.example.org"; }`},
	"dns_query": {means: "The addresses on which the proxy answers.", otherwise: "none; port 53 where none is written", example: "127.0.0.1"},

	"cache_size":           {means: "How many answers are kept; 0 keeps none.", builtin: "10000", example: "0"},
	"ttl_floor":            {means: "Answers live at least so long, whatever their records say.", builtin: "5", example: "30 sec"},
	"ttl_ceiling":          {means: "Answers live at most so long, whatever their records say.", builtin: "1 day", example: "1 hour"},
	"serve_stale":          {means: "Keeps answers so long beyond their lives, for when no server answers (RFC 8767); 0 does not.", builtin: "0", example: "1 day"},
	"prefetch":             {means: "Asks again when an answer is used in the last tenth of its life, so that names in use are always there.", builtin: "off", example: "on"},
	"gate_time":            {means: "How long an answer with the addresses of a selector's name waits for the policies to stand, so that the first packet to them is protected; 0 lets it pass at once.", builtin: "1", example: "3"},
	"gate_outcome":         {means: "What becomes of such an answer when they do not stand in time: the client is told that the server failed, or gets the answer all the same, and may send in clear.", builtin: "servfail", example: "answer"},
	"address_grace_period": {means: "How long beyond its life an address that a name does not have any more counts as leaving: applications may still hold it.", builtin: "1 min", example: "10 min"},
	"address_grace_action": {means: "What happens to traffic to such an address, where it was protected: discard drops it, none lets it pass as if no selector had been there, in clear.", builtin: "discard", example: "none"},
	"rate_limit":           {means: "How many questions a second are taken from one client, which is an IPv4 address or a /64 of IPv6; 0 sets no limit.", builtin: "0", example: "200"},
	"rate_burst":           {means: "How many questions may come at once before rate_limit counts.", otherwise: "twice rate_limit", example: "1000"},
	"require_dnssec":       {means: "Takes addresses for the names of selectors only from answers that a server has validated: one on this host, or one that is asked over TLS, must set AD (RFC 4035 §4.9.3).", builtin: "off", example: "on"},
	"forward":              {means: "Names that are special, as local ones and reverse names of private networks are (RFC 6761, RFC 6303), and are not answered here but asked for all the same, with all names below them.", otherwise: "none", example: `{ "corp.test"; "10.in-addr.arpa"; }`},
}
