package policy

import (
	"errors"
	"fmt"
	"net/netip"

	"racoon2/kernel"
)

// makeTemplates makes the templates of a selector's policies.
//
// The first transform is the innermost one. In tunnel mode it is the tunnel,
// and those around it protect the tunnel's packets in transport mode.
func makeTemplates(sel *Selector) ([]kernel.Template, error) {
	if sel.Action != kernel.Protect {
		return nil, nil
	}
	first := kernel.Template{Mode: sel.Mode, Level: sel.Level, ReqID: sel.ReqID}
	if sel.Mode == kernel.Tunnel {
		my, peer := sel.MyEnd.Unmap(), sel.PeerEnd.Unmap()
		switch {
		case !isEnd(my) && !isEnd(peer):
			return nil, errors.New("tunnel mode needs my_sa_ipaddr and peers_sa_ipaddr, and neither is known: " +
				"nothing is installed before the peer comes")
		case !isEnd(my):
			return nil, fmt.Errorf("tunnel mode needs my_sa_ipaddr, this host's address towards %v, and it is not known", peer)
		case !isEnd(peer):
			return nil, errors.New("tunnel mode needs peers_sa_ipaddr, and the peer's address is not known: " +
				"nothing is installed before the peer comes")
		case my.Is4() != peer.Is4():
			return nil, fmt.Errorf("my_sa_ipaddr %v and peers_sa_ipaddr %v are of different address families", my, peer)
		}
		first.Src, first.Dst = my, peer
		if sel.Direction != kernel.Out {
			first.Src, first.Dst = peer, my
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
	return templates, nil
}

func isEnd(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }
