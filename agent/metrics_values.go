package agent

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"

	"racoon2/ikev2"
	"racoon2/kernel"
	"racoon2/kink"
	"racoon2/resolver"
)

// Labels have values from closed sets (states, reasons, directions) or from the
// configuration (remotes); nothing that a peer says becomes one.

// carried adds up what SAs have carried for each remote. A kernel counts for
// each SA and forgets with it: what an SA carries between the last scrape and its
// end is missing.
type carried struct {
	mu     sync.Mutex
	seen   map[kernel.SAID]Traffic
	totals map[carriedBy]Traffic
}

type carriedBy struct{ remote, direction string }

// add takes the counters of all SAs that stand.
func (c *carried) add(sas map[kernel.SAID]*Traffic, of map[kernel.SAID]carriedBy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.totals == nil {
		c.totals = make(map[carriedBy]Traffic)
	}
	next := make(map[kernel.SAID]Traffic, len(sas))
	for id, now := range sas {
		whose, ok := of[id]
		if !ok {
			continue
		}
		before := c.seen[id]
		if now.Bytes < before.Bytes || now.Packets < before.Packets {
			before = Traffic{} // another SA by the same name
		}
		sum := c.totals[whose]
		sum.Bytes += now.Bytes - before.Bytes
		sum.Packets += now.Packets - before.Packets
		sum.ReplayErr += now.ReplayErr - min(before.ReplayErr, now.ReplayErr)
		sum.AuthErr += now.AuthErr - min(before.AuthErr, now.AuthErr)
		c.totals[whose] = sum
		next[id] = *now
	}
	c.seen = next
}

// write writes the totals of the remotes that the configuration has now.
func (c *carried) write(x *exposition, remotes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var octets, packets, errors []series
	for _, remote := range remotes {
		for _, direction := range []string{"in", "out"} {
			t := c.totals[carriedBy{remote, direction}]
			labels := []string{"remote", remote, "direction", direction}
			octets = append(octets, series{labels, float64(t.Bytes)})
			packets = append(packets, series{labels, float64(t.Packets)})
		}
		t := c.totals[carriedBy{remote, "in"}]
		errors = append(errors, series{[]string{"remote", remote, "kind", "replay"}, float64(t.ReplayErr)},
			series{[]string{"remote", remote, "kind", "integrity"}, float64(t.AuthErr)})
	}
	const seen = " What an SA carries between the last scrape and its end is missing."
	x.family("racoon2_sa_octets_total", counter, "Octets that SAs have carried, by remote and direction."+seen, octets...)
	x.family("racoon2_sa_packets_total", counter, "Packets that SAs have carried, by remote and direction."+seen, packets...)
	x.family("racoon2_sa_errors_total", counter, "Arriving packets that SAs have refused, by remote."+seen, errors...)
}

// exposed makes the text of all metrics.
func (a *Agent) exposed(ctx context.Context) ([]byte, error) {
	infos, err := a.ikeSAs(ctx)
	if err != nil {
		return nil, err
	}
	peers, err := a.kinkPeers(ctx)
	if err != nil {
		return nil, err
	}
	counts, err := a.allCounters(ctx)
	if err != nil {
		return nil, err
	}
	var x exposition
	x.family("racoon2_build_info", gauge, "The running program.", series{[]string{"version", Version, "goversion", runtime.Version()}, 1})
	x.family("racoon2_start_time_seconds", gauge, "When the agent was started, since the epoch.", one(float64(a.started.UnixMilli())/1000))
	x.family("racoon2_kernel_backend_info", gauge, "What carries IPsec.", series{[]string{"backend", a.backend.Name()}, 1})
	a.exposeSAs(&x, infos, peers, counts)
	a.exposeTraffic(ctx, &x, infos, peers)
	if err := a.exposePolicies(ctx, &x); err != nil {
		return nil, err
	}
	a.exposeCounters(&x, counts)
	a.exposeResolver(&x)
	return x.b.Bytes(), nil
}

// exposeSAs writes how many SAs stand, and which remotes are up.
func (a *Agent) exposeSAs(x *exposition, infos []ikev2.IKEInfo, peers []kink.PeerInfo, counts map[string]uint64) {
	// Those that always have a value; another one appears when there is such an IKE SA.
	states := map[string]int{"INIT_SENT": 0, "HALF_OPEN": 0, "AUTH_SENT": 0, "ESTABLISHED": 0, "REKEYED": 0, "DELETING": 0}
	up, children := make(map[string]int), make(map[string]int)
	for _, name := range a.remoteNames() {
		up[name], children[name] = 0, 0
	}
	ikeChildren, pairs := 0, 0
	for _, i := range infos {
		states[i.State]++
		ikeChildren += len(i.Children)
		if _, known := up[i.Remote]; !known {
			continue // not known yet, or not configured any more
		}
		if !i.Established.IsZero() {
			up[i.Remote] = 1
		}
		children[i.Remote] += len(i.Children)
	}
	for _, p := range peers {
		pairs += len(p.Children)
		if _, known := up[p.Remote]; known && len(p.Children) > 0 {
			up[p.Remote] = 1
			children[p.Remote] += len(p.Children)
		}
	}
	x.family("racoon2_ike_sas", gauge, "IKE SAs, by state.", by("state", states)...)
	x.family("racoon2_half_open_ike_sas", gauge, "IKE SAs that peers have asked for and that are not authenticated.", one(float64(counts[areaIKEv2+".half_open"])))
	x.family("racoon2_child_sas", gauge, "Pairs of SAs, by the protocol that made them.",
		by("engine", map[string]int{areaIKEv2: ikeChildren, areaKINK: pairs})...)
	x.family("racoon2_remote_up", gauge, "Whether a remote has an IKE SA that is established, or SAs by KINK.", by("remote", up)...)
	x.family("racoon2_remote_child_sas", gauge, "Pairs of SAs, by remote.", by("remote", children)...)
}

// remoteNames are the remotes of the configuration that are in use.
func (a *Agent) remoteNames() []string {
	var out []string
	for _, r := range remotes(a.plan.Load().cfg) {
		if !r.Disabled && len(out) < maxSeries {
			out = append(out, r.Name)
		}
	}
	return out
}

// exposeTraffic writes what SAs have carried.
func (a *Agent) exposeTraffic(ctx context.Context, x *exposition, infos []ikev2.IKEInfo, peers []kink.PeerInfo) {
	of := make(map[kernel.SAID]carriedBy)
	for _, i := range infos {
		for _, c := range i.Children {
			in, out := saids(c)
			of[in], of[out] = carriedBy{i.Remote, "in"}, carriedBy{i.Remote, "out"}
		}
	}
	for _, p := range peers {
		for _, c := range p.Children {
			in, out := kinkSAIDs(c)
			of[in], of[out] = carriedBy{p.Remote, "in"}, carriedBy{p.Remote, "out"}
		}
	}
	a.carried.add(a.traffic(ctx, saidsOf(infos, peers)), of)
	a.carried.write(x, a.remoteNames())
}

// exposePolicies writes how many policies there are.
func (a *Agent) exposePolicies(ctx context.Context, x *exposition) error {
	entries, err := ask(ctx, a.policy, a.manager.Entries)
	if err != nil {
		return err
	}
	states := map[string]int{stateInstalled: 0, statePending: 0, stateFailed: 0}
	for _, e := range entries {
		state := e.State
		if strings.HasPrefix(state, stateFailed) {
			state = stateFailed // which has its reason behind it
		}
		states[state]++
	}
	x.family("racoon2_policies", gauge, "Entries of the SPD that are ours, by state.", by("state", states)...)
	return nil
}

// gauges are the values among the counters of the cores that may fall.
var gauges = map[string]bool{"half_open": true, "ike_sas": true, "child_sas": true, "peers": true, "transactions": true}

// exposeCounters writes the events that were counted, by area and reason.
func (a *Agent) exposeCounters(x *exposition, counts map[string]uint64) {
	byArea := make(map[string]map[string]uint64)
	for name, n := range counts {
		area, reason, _ := strings.Cut(name, ".")
		if inner, rest, ok := strings.Cut(reason, "."); ok && area == areaAgent {
			area, reason = inner, rest // a core whose events the agent counts
		}
		if (area == areaIKEv2 || area == areaKINK) && gauges[reason] {
			continue
		}
		if byArea[area] == nil {
			byArea[area] = make(map[string]uint64)
		}
		byArea[area][reason] += n
	}
	var events []series
	for _, area := range []string{areaAgent, areaIKEv2, areaKINK, areaPolicy, areaResolver} {
		for _, s := range by("reason", byArea[area]) {
			events = append(events, series{append([]string{"area", area}, s.labels...), s.value})
		}
	}
	x.family("racoon2_events_total", counter, "Events since the start, by area and reason.", events...)
	x.family("racoon2_kernel_events_total", counter, "What the kernel backend has counted, by reason: in userspace packets by their fate; with XFRM the host's drops.",
		by("reason", byArea[areaKernel])...)
}

// exposeResolver writes the resolver's counters, where it runs.
func (a *Agent) exposeResolver(x *exposition) {
	var s resolver.Stats
	if (commands{a}).look(func(r *resolver.Resolver, _ time.Time) { s = r.Stats() }) != nil {
		return
	}
	x.family("racoon2_resolver_events_total", counter, "What the DNS proxy has done.", by("event", map[string]uint64{
		"question": s.Queries, "upstream_answer": s.Responses, "upstream_question": s.QueriesProxy,
		"answer": s.ResponsesProxy, "expired": s.ExpiredQueries, "joined": s.DupQueries,
	})...)
	x.family("racoon2_resolver_cache", gauge, "What the DNS proxy knows.", by("kind", map[string]uint64{
		"addresses": s.CacheAddresses, "names_with_address": s.CacheNames, "names": s.CacheTotal,
	})...)
}
