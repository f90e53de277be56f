package agent

import (
	"fmt"

	"racoon2/config"
)

// linkAlias marks the XFRM interfaces that an agent has made, so that the next
// one knows them for its own after a crash.
const linkAlias = "racoon2"

// xfrmLink is an XFRM interface that the configuration asks for.
type xfrmLink struct {
	name string
	ifID uint32
	pos  config.Pos
}

// xfrmLinks lists the XFRM interfaces of the policies that are in use.
func xfrmLinks(cfg *config.Config) []xfrmLink {
	var out []xfrmLink
	seen := map[string]bool{}
	for _, p := range cfg.Policies {
		if p.XFRMInterface == "" || p.Disabled || seen[p.XFRMInterface] {
			continue
		}
		seen[p.XFRMInterface] = true
		out = append(out, xfrmLink{p.XFRMInterface, p.IfID, p.Pos})
	}
	return out
}

// makeLinks makes the XFRM interfaces that are missing.
func (a *Agent) makeLinks(cfg *config.Config) error {
	wanted := xfrmLinks(cfg)
	if len(wanted) == 0 {
		return nil
	}
	made, err := makeXFRM(wanted)
	for _, l := range made {
		a.main.Info("XFRM interface made; addresses on it and routes into it are yours to add", "name", l.name, "if_id", l.ifID)
	}
	if err != nil {
		return fmt.Errorf("xfrm_interface: %w", err)
	}
	return nil
}

// removeLinks removes our XFRM interfaces, but those that are wanted. What was
// routed into them finds other ways from now on: policies go first.
func (a *Agent) removeLinks(but []xfrmLink) {
	if a.backend == nil || !a.backend.Capabilities().IfID {
		return
	}
	gone, err := removeXFRM(but)
	for _, name := range gone {
		a.main.Info("XFRM interface removed", "name", name)
	}
	if err != nil {
		a.main.Warn("an XFRM interface stays", "error", err)
	}
}
