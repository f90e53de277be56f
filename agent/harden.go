package agent

// harden gives up the privileges that only the start needed. An agent that cannot
// do that goes on, and says so.
func (a *Agent) harden() {
	scripts := len(a.plan.Load().scripts) > 0
	left, err := hardenLate(scripts)
	if err != nil {
		a.main.Warn("the agent keeps all its privileges", "why", err)
		return
	}
	a.confined = !scripts
	dumps := "off"
	if a.o.CoreDumps {
		dumps = "on"
	}
	a.main.Info("privileges are given up", "capabilities_left", left, "no_new_privileges", a.confined, "core_dumps", dumps)
}
