package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"racoon2/agent"
	"racoon2/config"
)

func (a *app) checkCommand() *cobra.Command {
	var asJSON bool
	var kernel string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration, with its key files",
		Long: "Check a configuration without running it: its words, its references, what does\n" +
			"not fit together, and the keys and certificates that it names. With --kernel, or\n" +
			"where the configuration names a kernel, also what that cannot do on this host.\n" +
			"The exit status is 0 when there is nothing to complain about, 1 with warnings,\n" +
			"and 2 with errors.",
		Example: "  racoon2 check ./racoon2.conf\n  racoon2 check --kernel auto --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			a.configFrom(args)
			switch kernel {
			case "", "auto", "xfrm", "pfkey", "userspace":
			default:
				return errors.New("--kernel is auto, xfrm or userspace")
			}
			findings := agent.Check(a.config, agent.CheckOptions{Kernel: kernel}).WithSources(config.Options{})
			if err := a.printFindings(findings, asJSON); err != nil {
				return failed(err)
			}
			switch {
			case findings.HasErrors():
				return &failure{status: statusUsage}
			case findings.Count(config.Warning) > 0:
				return &failure{status: statusFailed}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&kernel, "kernel", "", "hold it against what `auto`, xfrm or userspace can do on this host")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) printFindings(findings config.Findings, asJSON bool) error {
	if asJSON {
		return findings.WriteJSON(a.out)
	}
	if err := findings.WriteText(a.out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.err, "configuration errors: %d, warnings: %d\n",
		findings.Count(config.Error), findings.Count(config.Warning))
	return err
}
