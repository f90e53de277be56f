package agent

import (
	"fmt"

	"racoon2/agent/logging"
	"racoon2/config"
)

// ConfigError says that the configuration cannot be used.
type ConfigError struct {
	Path     string
	Findings config.Findings
}

// Error counts the findings and quotes the first error.
func (e *ConfigError) Error() string {
	for _, f := range e.Findings {
		if f.Severity == config.Error {
			return fmt.Sprintf("%s has %d errors, the first: %s", e.Path, e.Findings.Count(config.Error), f)
		}
	}
	return e.Path + " cannot be used"
}

// corePanicked ends the agent: the core's state is not to be trusted.
func (a *Agent) corePanicked(name string, value any, stack []byte) {
	a.counters.add(reasonPanic)
	a.main.Log(a.ctx, logging.LevelCritical, "the "+name+" core failed inside; policies stay so that nothing goes out in clear",
		"panic", fmt.Sprint(value), "stack", string(stack))
	a.fail(fmt.Errorf("the %s core failed inside: %v", name, value))
}

// jobPanicked only reports: a job touches nothing of a core's.
func (a *Agent) jobPanicked(name string, value any, stack []byte) {
	a.counters.add(reasonPanic)
	a.main.Error("a job failed inside", "job", name, "panic", fmt.Sprint(value), "stack", string(stack))
}

// fail has the agent end with an error; the first one counts.
func (a *Agent) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Failed tells of the failure after which the agent has to be abandoned.
func (a *Agent) Failed() <-chan error { return a.failed }
