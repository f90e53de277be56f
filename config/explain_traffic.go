package config

// trafficExplanations are of selector, policy, ipsec and sa.
var trafficExplanations = map[string]explanation{
	"order":                 {means: "The rank among selectors: the smallest number counts first, and one without a number last. Among equals the narrower addresses count first.", otherwise: "none", example: "10"},
	"direction":             {means: "Which way the traffic goes, seen from this host.", otherwise: "none: it must be written", example: "outbound"},
	"src":                   {means: "Where the traffic comes from: addresses, networks, ranges, macros or host names. A name needs the resolver, which keeps the policies in step with its addresses; *.example.org is every name below. A port needs a protocol that has ports.", otherwise: "none: it must be written", example: "{ 10.1.0.0/16; 10.3.0.1 - 10.3.0.9; }"},
	"dst":                   {means: "Where the traffic goes, as in src.", otherwise: "none: it must be written", example: "{ 10.2.0.0/16; 10.4.0.0/16; }"},
	"upper_layer_protocol":  {means: "The protocol inside, by name or number; for ICMP its type and code may follow, for mh its type.", builtin: "any", example: "tcp"},
	"next_header_including": {means: "A protocol that must be among the packet's headers.", otherwise: "none", example: "tcp"},
	"tagged":                {means: "A tag that the packet must have.", otherwise: "none", example: `"vpn"`},
	"policy_index":          {means: "The policy for the traffic.", otherwise: "none: it must be written", example: "other"},
	"reqid":                 {means: "The number that ties the policy to its SAs in the kernel.", otherwise: "one that the agent chooses, and keeps over reloads", example: "7"},

	"action":           {means: "What happens to the traffic: IPsec with negotiated keys (auto_ipsec) or with the keys of its sa sections (static_ipsec), dropping, or passing in clear (bypass is an old word for none).", builtin: "auto_ipsec", example: "discard"},
	"install":          {means: "Installs the policy in the kernel; off leaves that to others.", builtin: "on", example: "off"},
	"remote_index":     {means: "The peer that keys are negotiated with.", otherwise: "none: auto_ipsec needs it", example: "second"},
	"ipsec_index":      {means: "The bundles of transforms that are offered, best first.", otherwise: "the built-in bundle: ESP with the built-in algorithms", example: "other"},
	"ipsec_mode":       {means: "Protects packets from host to host (transport), or whole packets inside packets between gateways (tunnel).", builtin: "tunnel", example: "transport"},
	"ipsec_level":      {means: "How binding the policy is: use lets traffic pass in clear while there is no SA; unique gives each selector SAs of its own.", builtin: "require", example: "unique"},
	"my_sa_ipaddr":     {means: "This host's end of the tunnel. A host name must have an address of this host.", otherwise: "the address of the IKE SA", example: "192.0.2.1"},
	"peers_sa_ipaddr":  {means: "The peer's end of the tunnel, or a host name that is looked up as that of peers_ipaddr. IP_RW is filled in with the address that the peer comes from.", otherwise: "the first of peers_ipaddr", example: "192.0.2.9"},
	"initial_child_ke": {means: "Gives the first child SA that this host asks for a key exchange of its own, with need_pfs: immediate rekeys the child of IKE_AUTH as soon as it stands; childless asks for it after IKE_AUTH, where the peer takes that (RFC 6023), and else is as off.", builtin: "off", example: "immediate"},
	"start":            {means: "Initiates when the agent starts, and again when the SA is lost, rather than on the first packet.", builtin: "off", example: "on"},
	"sa_per_pair":      {means: "Gives each pair of addresses SAs of its own (RFC 4301 §4.4.1, addresses from the packet). The peer is asked for the addresses of the packet alone; a peer that does not name a pair first is answered SINGLE_PAIR_REQUIRED (RFC 7296 §2.9). Only packets make such SAs.", builtin: "off", example: "on"},
	"if_id":            {means: "The interface identifier of the SAs and policies, which ties them to an XFRM interface: they are for the traffic that is routed into it and comes out of it, and for no other. Needs the kernel backend xfrm.", builtin: "0", example: "42"},
	"xfrm_interface":   {means: "The XFRM interface that carries the traffic; needs if_id. The agent makes it when it starts, sets it up, and removes it when it ends; one of that name that is there already must have that if_id, and stays. Addresses on it and routes into it are the operator's.", otherwise: "none", example: "ipsec0"},
	"mark":             {means: "The firewall mark of the traffic: the policies are for packets that have it, and arriving packets get it when they have been opened. Without a mask all bits count. Needs the kernel backend xfrm.", otherwise: "none", example: "0x10/0xff"},
	"hw_offload":       {means: "Lets the network device that has this host's end of the SA encrypt (crypto), or do all of ESP (packet). A device that cannot refuses the SA.", builtin: "off", example: "crypto"},
	"mss_clamp":        {means: "Makes TCP's segments fit through the tunnel: bounds the maximum segment size that connections agree on to what the path's MTU leaves (pmtu), or to a number of octets.", builtin: "off", example: "pmtu"},

	"ipsec_sa_lifetime_time": {means: "How long a child SA lives; it is replaced a while before. 0 or infinite: without end.", builtin: "3600", example: "8 hours"},
	"ipsec_sa_lifetime_byte": {means: "How much a child SA carries; it is replaced a while before. 0 or infinite: without bound.", builtin: "0", example: "1 GB"},
	"ext_sequence":           {means: "Extended sequence numbers (RFC 4303 §2.2.1), for SAs that carry more than 2^32 packets.", builtin: "off", example: "on"},
	"replay_window":          {means: "How many packets back one may arrive and still be taken (RFC 4303 §3.4.3); 0 takes repeated packets, too. At most 4096.", builtin: "128", example: "1024"},
	"sa_index":               {means: "The transforms of the bundle, one for each protocol at most.", otherwise: "the built-in one: ESP", example: "other"},

	"sa_protocol": {means: "The IPsec protocol of the transform.", otherwise: "none: it must be written", example: "esp"},
	"spi":         {means: "The SPI of a static SA, as the receiver knows it. Each direction has selectors, and may have a policy with sa sections, of its own; the keys stand behind the algorithms, as in aes_cbc,128,0x… and hmac_sha2_256,,0x….", otherwise: "none", example: "0x100"},
}
