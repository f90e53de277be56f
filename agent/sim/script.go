package sim

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ParseScript reads a scenario written as text. Sections begin with a line
// "-- NAME --"; the lines before the first are commands, one each, and "#"
// begins a comment:
//
//	seed N
//	host NAME ADDRESS|NETWORK …
//	nat INSIDE OUTSIDE
//	faults [loss P] [duplicate P] [reorder P] [corrupt P] [delay D] [jitter D] [late D]
//	rule drop|double|hold FROM TO EXCHANGE request|response ID [count N] [for D]
//	flow FROM TO [proto N] [src PORT] [dst PORT] [start D] [every D] [stop D] [must pass|blocked]
//	duration D
//	settle D
//	at D ping FROM TO | inject FROM TO | up HOST SELECTOR | flush HOST [REMOTE]
//	     | crash HOST | reboot HOST | restart HOST | stop HOST | reboot-nats
//	     | rebind-nats OUTSIDE | addresses HOST [ADDRESS …]
//	     | cut ADDRESS | mend ADDRESS
//	     | reconfigure HOST SECTION
//
// The section HOST.conf is a host's racoon2.conf, HOST:/path one of its other
// files. The sections come back beside the scenario.
func ParseScript(name, text string) (Scenario, map[string]string, error) {
	commands, sections := splitSections(text)
	p := &script{scenario: Scenario{Name: name, Seed: 1, Faults: calm, ShowTraffic: true, Duration: 10 * time.Second}, sections: sections}
	for i, l := range strings.Split(commands, "\n") {
		l, _, _ = strings.Cut(l, "#")
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		if err := p.command(words); err != nil {
			return Scenario{}, nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	for i := range p.scenario.Hosts {
		p.files(&p.scenario.Hosts[i])
	}
	return p.scenario, sections, nil
}

// splitSections separates commands from sections.
func splitSections(text string) (commands string, sections map[string]string) {
	sections = make(map[string]string)
	name := ""
	var parts strings.Builder
	flush := func() {
		if name == "" {
			commands = parts.String()
		} else {
			sections[name] = parts.String()
		}
		parts.Reset()
	}
	for l := range strings.Lines(text) {
		if t := strings.TrimSpace(l); strings.HasPrefix(t, "-- ") && strings.HasSuffix(t, " --") {
			flush()
			name = strings.TrimSpace(t[3 : len(t)-3])
			continue
		}
		parts.WriteString(l)
	}
	flush()
	return commands, sections
}

type script struct {
	scenario Scenario
	sections map[string]string
}

// files gives a host its configuration and its other files.
func (p *script) files(h *HostSpec) {
	h.Config = p.sections[h.Name+".conf"]
	h.Files = make(map[string]string)
	for name, content := range p.sections {
		if path, ok := strings.CutPrefix(name, h.Name+":"); ok {
			h.Files[path] = strings.TrimSuffix(content, "\n")
		}
	}
}

func (p *script) command(words []string) (err error) {
	s, args := &p.scenario, words[1:]
	switch words[0] {
	case "seed":
		if len(args) == 1 {
			s.Seed, err = strconv.ParseUint(args[0], 10, 64)
			return err
		}
	case "host":
		return p.host(args)
	case "nat":
		if len(args) == 2 {
			return p.nat(args[0], args[1])
		}
	case "faults":
		return p.faults(args)
	case "rule":
		return p.rule(args)
	case "flow":
		return p.flow(args)
	case "duration", "settle":
		if len(args) == 1 {
			d, err := time.ParseDuration(args[0])
			if words[0] == "duration" {
				s.Duration = d
			} else {
				s.Settle = d
			}
			return err
		}
	case "at":
		return p.at(args)
	}
	return fmt.Errorf("%q is not understood", strings.Join(words, " "))
}

func (p *script) host(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("a host needs a name and an address")
	}
	h := HostSpec{Name: args[0]}
	for _, a := range args[1:] {
		if strings.Contains(a, "/") {
			n, err := netip.ParsePrefix(a)
			if err != nil {
				return err
			}
			h.Nets = append(h.Nets, n)
			continue
		}
		addr, err := netip.ParseAddr(a)
		if err != nil {
			return err
		}
		h.Addrs = append(h.Addrs, addr)
	}
	p.scenario.Hosts = append(p.scenario.Hosts, h)
	return nil
}

func (p *script) nat(inside, outside string) error {
	in, err := netip.ParsePrefix(inside)
	if err != nil {
		return err
	}
	out, err := netip.ParseAddr(outside)
	p.scenario.NATs = append(p.scenario.NATs, NAT{Inside: in, Outside: out})
	return err
}

// options reads pairs of a word and its value.
func options(args []string, set map[string]func(string) error) error {
	for ; len(args) > 0; args = args[2:] {
		f := set[args[0]]
		if f == nil || len(args) < 2 {
			return fmt.Errorf("%q is not understood", strings.Join(args, " "))
		}
		if err := f(args[1]); err != nil {
			return err
		}
	}
	return nil
}

func duration(d *time.Duration) func(string) error {
	return func(s string) (err error) {
		*d, err = time.ParseDuration(s)
		return err
	}
}

func chance(f *float64) func(string) error {
	return func(s string) (err error) {
		*f, err = strconv.ParseFloat(s, 64)
		return err
	}
}

func number[T ~uint8 | ~uint16 | ~uint32 | ~int](n *T) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseUint(s, 10, 31)
		*n = T(v)
		if err == nil && uint64(*n) != v {
			return fmt.Errorf("%d is too large", v)
		}
		return err
	}
}

func (p *script) faults(args []string) error {
	f := &p.scenario.Faults
	return options(args, map[string]func(string) error{
		"loss": chance(&f.Loss), "duplicate": chance(&f.Duplicate), "reorder": chance(&f.Reorder), "corrupt": chance(&f.Corrupt),
		"delay": duration(&f.Delay), "jitter": duration(&f.Jitter), "late": duration(&f.Late),
	})
}

func (p *script) rule(args []string) error {
	if len(args) < 6 {
		return fmt.Errorf("a rule needs what to do, from, to, exchange, request or response, and a Message ID")
	}
	r := &Rule{
		From: args[1], To: args[2], Exchange: args[3], Response: args[4] == "response", Count: 1,
		Drop: args[0] == "drop", Double: args[0] == "double",
	}
	if err := number(&r.MessageID)(args[5]); err != nil {
		return err
	}
	p.scenario.Rules = append(p.scenario.Rules, r)
	return options(args[6:], map[string]func(string) error{"count": number(&r.Count), "for": duration(&r.Delay)})
}

func (p *script) flow(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("a flow needs two addresses")
	}
	f := Flow{Interval: time.Second}
	var err error
	if f.From, f.To, err = twoAddrs(args); err != nil {
		return err
	}
	err = options(args[2:], map[string]func(string) error{
		"proto": number(&f.Proto), "src": number(&f.Src), "dst": number(&f.Dst),
		"start": duration(&f.Start), "every": duration(&f.Interval), "stop": duration(&f.Stop),
		"must": func(s string) error {
			switch s {
			case "pass":
				f.Must = Pass
			case "blocked":
				f.Must = Blocked
			default:
				return fmt.Errorf("a flow must pass or must be blocked, not %q", s)
			}
			return nil
		},
	})
	p.scenario.Flows = append(p.scenario.Flows, f)
	return err
}

func twoAddrs(args []string) (from, to netip.Addr, err error) {
	if from, err = netip.ParseAddr(args[0]); err == nil {
		to, err = netip.ParseAddr(args[1])
	}
	return from, to, err
}

// at plans a step.
func (p *script) at(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("a step needs a time and something to do")
	}
	when, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	do, err := p.step(args[1], args[2:])
	if err != nil {
		return err
	}
	p.scenario.Steps = append(p.scenario.Steps, Step{At: when, Name: strings.Join(args[1:], " "), Do: do})
	return nil
}

func (p *script) step(verb string, args []string) (func(*World), error) {
	switch {
	case (verb == "ping" || verb == "inject") && len(args) == 2:
		from, to, err := twoAddrs(args)
		if verb == "ping" {
			return func(w *World) { w.Ping(from, to) }, err
		}
		return func(w *World) { w.Inject(Flow{From: from, To: to}.selector()) }, err
	case verb == "reboot-nats" && len(args) == 0:
		return (*World).RebootNATs, nil
	case (verb == "cut" || verb == "mend") && len(args) == 1:
		at, err := netip.ParseAddr(args[0])
		if verb == "cut" {
			return func(w *World) { w.Cut(at) }, err
		}
		return func(w *World) { w.Mend(at) }, err
	case verb == "rebind-nats" && len(args) == 1:
		to, err := netip.ParseAddr(args[0])
		return func(w *World) { w.RebindNATs(to) }, err
	case len(args) == 0 || !p.isHost(args[0]):
		return nil, fmt.Errorf("%s needs a host that is there", verb)
	case verb == "up" && len(args) == 2:
		return func(w *World) { w.Host(args[0]).Up(args[1]) }, nil
	case verb == "flush":
		return func(w *World) { w.Host(args[0]).Flush(strings.Join(args[1:], "")) }, nil
	case verb == "crash", verb == "reboot":
		return func(w *World) { w.Host(args[0]).Crash(verb == "reboot") }, nil
	case verb == "restart":
		return func(w *World) { w.Host(args[0]).Restart() }, nil
	case verb == "stop":
		return func(w *World) { w.Host(args[0]).Stop() }, nil
	case verb == "addresses":
		return p.readdress(args[0], args[1:])
	case verb == "reconfigure" && len(args) == 2:
		return p.reconfigure(args[0], args[1]), nil
	}
	return nil, fmt.Errorf("%q is not understood", verb)
}

func (p *script) reconfigure(name, section string) func(*World) {
	return func(w *World) {
		if err := w.Host(name).Reconfigure(p.sections[section]); err != nil {
			w.note(line{host: name, text: "configuration refused: " + err.Error()})
		}
	}
}

// readdress gives a host other addresses; none takes it off the network.
func (p *script) readdress(name string, args []string) (func(*World), error) {
	addrs := make([]netip.Addr, len(args))
	for i, a := range args {
		var err error
		if addrs[i], err = netip.ParseAddr(a); err != nil {
			return nil, err
		}
	}
	return func(w *World) { w.Host(name).Readdress(addrs...) }, nil
}

func (p *script) isHost(name string) bool {
	for _, h := range p.scenario.Hosts {
		if h.Name == name {
			return true
		}
	}
	return false
}
