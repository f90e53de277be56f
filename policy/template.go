package policy

import "racoon2/kernel"

// templates are those of a unit's policies.
func (m *Manager) templates(u *unit, out *Outbox) ([]kernel.Template, error) {
	if u.sel.Action != kernel.Protect {
		return nil, nil
	}
	var ends tunnelEnds
	if u.sel.Mode == kernel.Tunnel {
		var err error
		if ends, err = m.ends(u, out); err != nil {
			return nil, err
		}
	}
	return makeTemplates(u.sel, ends), nil
}

// makeTemplates makes the templates of a selector's policies.
//
// The first transform is the innermost one. In tunnel mode it is the tunnel,
// and those around it protect the tunnel's packets in transport mode.
func makeTemplates(sel *Selector, ends tunnelEnds) []kernel.Template {
	first := kernel.Template{Mode: sel.Mode, Level: sel.Level, ReqID: sel.ReqID}
	if sel.Mode == kernel.Tunnel {
		first.Src, first.Dst = ends.my, ends.peer
		if sel.Direction != kernel.Out {
			first.Src, first.Dst = ends.peer, ends.my
		}
	}
	bundle := sel.Bundle
	if len(bundle) == 0 {
		bundle = []kernel.Protocol{kernel.ESP}
	}
	templates := make([]kernel.Template, len(bundle))
	for i, proto := range bundle {
		t := first
		if i > 0 {
			t = kernel.Template{Mode: kernel.Transport, Level: sel.Level, ReqID: sel.ReqID}
		}
		t.Proto = proto
		templates[i] = t
	}
	return templates
}
