package config

// word is one word of an enumeration and its value.
type word struct {
	text  string
	value uint8
}

// The words of enumerations. Where two words have one value the first is the
// one that is printed.
var (
	kmpWords = []word{
		{"ikev1", uint8(KMPIKEv1)}, {"ikev2", uint8(KMPIKEv2)}, {"kink", uint8(KMPKINK)},
	}
	idWords = []word{
		{"ipaddr", uint8(IDIPAddr)}, {"email", uint8(IDEmail)}, {"fqdn", uint8(IDFQDN)},
		{"keyid", uint8(IDKeyID)}, {"x509_subject", uint8(IDX509Subject)},
	}
	logModeWords = []word{{"normal", uint8(LogNormal)}, {"debug", uint8(LogDebug)}}
	natWords     = []word{
		{"off", uint8(NATOff)}, {"disable", uint8(NATOff)}, {"no", uint8(NATOff)},
		{"on", uint8(NATOn)}, {"enable", uint8(NATOn)}, {"yes", uint8(NATOn)},
		{"force", uint8(NATForce)},
	}
	boolWords = []word{
		{"off", 0}, {"disable", 0}, {"no", 0}, {"on", 1}, {"enable", 1}, {"yes", 1},
	}
	kernelWords = []word{
		{"auto", uint8(KernelAuto)}, {"xfrm", uint8(KernelXFRM)}, {"pfkey", uint8(KernelPFKey)},
		{"userspace", uint8(KernelUserspace)},
	}
	logFormatWords = []word{{"text", uint8(LogText)}, {"json", uint8(LogJSON)}}
	offloadWords   = []word{
		{"off", uint8(OffloadOff)}, {"crypto", uint8(OffloadCrypto)}, {"packet", uint8(OffloadPacket)},
	}
	gateWords          = []word{{"servfail", uint8(GateServFail)}, {"answer", uint8(GateAnswer)}}
	graceWords         = []word{{"discard", uint8(ActionDiscard)}, {"none", uint8(ActionNone)}}
	selectorCheckWords = []word{{"obey", uint8(CheckObey)}, {"exact", uint8(CheckExact)}}
	proposalCheckWords = []word{
		{"obey", uint8(CheckObey)}, {"strict", uint8(CheckStrict)},
		{"claim", uint8(CheckClaim)}, {"exact", uint8(CheckExact)},
	}
	authWords = []word{
		{"psk", uint8(AuthPSK)}, {"dss", uint8(AuthDSS)}, {"rsasig", uint8(AuthRSASig)},
		{"rsaenc", uint8(AuthRSAEnc)}, {"rsarev", uint8(AuthRSARev)}, {"gssapi_krb", uint8(AuthGSSAPI)},
		{"ecdsa", uint8(AuthECDSA)}, {"eddsa", uint8(AuthEdDSA)}, {"eap", uint8(AuthEAP)},
	}
	eventWords = []word{
		{"phase1_up", uint8(EventPhase1Up)}, {"ike_sa_up", uint8(EventPhase1Up)},
		{"phase1_down", uint8(EventPhase1Down)}, {"ike_sa_down", uint8(EventPhase1Down)},
		{"phase2_up", uint8(EventPhase2Up)}, {"child_up", uint8(EventPhase2Up)},
		{"phase2_down", uint8(EventPhase2Down)}, {"child_down", uint8(EventPhase2Down)},
		{"phase1_rekey", uint8(EventPhase1Rekey)}, {"ike_sa_rekey", uint8(EventPhase1Rekey)},
		{"phase2_rekey", uint8(EventPhase2Rekey)}, {"child_rekey", uint8(EventPhase2Rekey)},
		{"migration", uint8(EventMigration)},
	}
	requestWords = []word{
		{"ip4", uint8(RequestIP4)}, {"ip6", uint8(RequestIP6)}, {"ip", uint8(RequestIP)},
		{"dns", uint8(RequestDNS)}, {"ip4_dns", uint8(RequestDNS4)}, {"ip6_dns", uint8(RequestDNS6)},
		{"dhcp", uint8(RequestDHCP)}, {"ip4_dhcp", uint8(RequestDHCP4)}, {"ip6_dhcp", uint8(RequestDHCP6)},
		{"application_version", uint8(RequestApplicationVersion)},
		{"mip6_home_prefix", uint8(RequestMIP6HomePrefix)},
	}
	directionWords = []word{{"inbound", uint8(Inbound)}, {"outbound", uint8(Outbound)}}
	actionWords    = []word{
		{"auto_ipsec", uint8(ActionAutoIPsec)}, {"static_ipsec", uint8(ActionStaticIPsec)},
		{"discard", uint8(ActionDiscard)}, {"none", uint8(ActionNone)}, {"bypass", uint8(ActionNone)},
	}
	modeWords           = []word{{"transport", uint8(ModeTransport)}, {"tunnel", uint8(ModeTunnel)}}
	levelWords          = []word{{"require", uint8(LevelRequire)}, {"unique", uint8(LevelUnique)}, {"use", uint8(LevelUse)}}
	initialChildKEWords = []word{
		{"off", uint8(InitialChildKEOff)}, {"immediate", uint8(InitialChildKEImmediate)},
		{"childless", uint8(InitialChildKEChildless)},
	}
	saProtocolWords   = []word{{"esp", uint8(SAESP)}, {"ah", uint8(SAAH)}, {"ipcomp", uint8(SAIPComp)}}
	exchangeModeWords = []word{{"main", 1}, {"aggressive", 2}, {"base", 3}}
	mobilityWords     = []word{{"agent", 1}, {"mobile", 2}, {"correspondent", 3}}
)

// wordOf returns the first word with the value, or "".
func wordOf[T ~uint8](words []word, value T) string {
	for _, w := range words {
		if w.value == uint8(value) {
			return w.text
		}
	}
	return ""
}
