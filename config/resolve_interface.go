package config

// buildInterface fills the interface section.
func (r *resolver) buildInterface() {
	i := &r.config.Interface
	v := view{own: r.iface}
	i.Pos = v.pos()
	i.Default = r.iface == nil
	i.IKE = withPorts(get[[]Address](v, "ike", nil), defaultIKEPort)
	i.KINK = withPorts(get[[]Address](v, "kink", nil), defaultKINKPort)
	i.SPMD = withPorts(get[[]Address](v, "spmd", nil), defaultSPMDPort)
	i.SPMDPassword = get(v, "spmd_password", "")
	i.SPMDPasswordPos = v.writtenAt("spmd_password")
	i.ApplicationBypass = get(v, "application_bypass", true)
	i.Kernel = Kernel(get(v, "kernel", uint8(KernelAuto)))
	i.LogFormat = LogFormat(get(v, "log_format", uint8(LogText)))
	if a := get(v, "metrics", Address{}); a.Kind != 0 {
		i.Metrics = &withPorts([]Address{a}, defaultMetricsPort)[0]
	}
	r.checkListen(v, "metrics")
	r.checkAgentWords(v)
	for _, name := range []string{"ike", "kink"} {
		r.checkListen(v, name)
	}
	r.checkListen(v, "spmd")
	if v.get("ike") != nil {
		return
	}
	// Nothing written: IKE listens where every peer looks for it (RFC 7296 §2).
	i.IKE = []Address{
		{Pos: i.Pos, Kind: AddressMacro, Macro: MacroAny, Port: defaultIKEPort, HasPort: true},
		{Pos: i.Pos, Kind: AddressMacro, Macro: MacroAny, Port: defaultNATPort, HasPort: true},
	}
	if !i.Default {
		r.advise("default-listen", at(i.Pos, "interface"), "ike { MY_IP port 500; MY_IP port 4500; };",
			"interface has no ike; IKE listens on ports 500 and 4500 of all addresses")
	}
}

// checkAgentWords looks at what the agent itself is told in interface.
func (r *resolver) checkAgentWords(v view) {
	i := &r.config.Interface
	if i.Kernel == KernelPFKey {
		r.errorf("not-built", at(v.posOf("kernel"), "kernel"), "write: kernel auto;",
			"PF_KEY is the kernel interface of the BSDs, and this version has no backend for it")
	}
	if a := i.Metrics; a != nil && a.Kind != AddressFQDN && !a.Addr.IsLoopback() {
		r.advise("open-metrics", at(v.posOf("metrics"), "metrics"), "write: metrics 127.0.0.1;",
			"metrics are served in clear to whoever reaches %s: they tell of peers and traffic", a.String())
	}
	if !i.ApplicationBypass {
		r.advise("application-bypass", at(v.posOf("application_bypass"), "application_bypass"), "add a policy with action none for IKE's ports, or leave it on",
			"with application_bypass off IKE's own packets obey the policies: one that covers a peer stops them")
	}
}

// withPorts returns a copy of the addresses in which each has a port.
func withPorts(list []Address, port uint16) []Address {
	out := make([]Address, 0, len(list))
	for _, a := range list {
		if a.Port == 0 && a.Kind != AddressUnix {
			a.Port = port
		}
		out = append(out, a)
	}
	return out
}

// checkListen refuses addresses that nothing can listen on.
func (r *resolver) checkListen(v view, name string) {
	list := get[[]Address](v, name, nil)
	if a := get(v, name, Address{}); a.Kind != 0 {
		list = []Address{a}
	}
	for _, a := range list {
		switch {
		case a.Kind == AddressFQDN:
			r.errorf("host-name", at(a.Pos, a.Name), "write an address, or a macro such as MY_IP",
				"%s cannot listen on a host name", name)
		case !a.IsHost():
			r.errorf("bad-address", at(a.Pos, a.String()), "write one address, or a macro such as MY_IP",
				"%s cannot listen on a network", name)
		}
	}
}

// checkInterface looks at the interface in the light of the remotes.
func (r *resolver) checkInterface() {
	if r.config.Interface.Default || get[[]Address](view{own: r.iface}, "ike", nil) == nil {
		return
	}
	for _, a := range r.config.Interface.IKE {
		if a.Port == defaultNATPort {
			return
		}
	}
	for _, remote := range r.config.Remotes {
		if remote.IKEv2 != nil && remote.IKEv2.NATTraversal != NATOff {
			r.advise("no-nat-port", at(view{own: r.iface}.posOf("ike"), "ike"), "add: MY_IP port 4500;",
				"no address listens on port 4500, so that remote %s cannot traverse a NAT (RFC 7296 §2.23)", clip(remote.Name))
			return
		}
	}
}
