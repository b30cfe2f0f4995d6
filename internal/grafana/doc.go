// Package grafana is Grafana's part of the lab as data: the dashboard, made from
// Go, and the data sources with the links between signals.
//
// Grafana itself is not needed for anything here. The package follows Grafana's public documents on
// the two formats and on their effects. So a reader of telemetry can do the same as Grafana: run
// every query of every panel, and follow every link.
//
// The rules:
//
//   - A test checks the dashboard for what Grafana does not know: a unit, a colour, a
//     data source, a variable.
//   - The file of data sources is read strictly: an unknown field is an error.
//   - Names of metrics, labels, spans and log fields come from internal/contract.
//   - The dashboard is defined in Stage2 and nowhere else; its file under stack is
//     made from it.
//
// Sources: Grafana's "Dashboard JSON model" and dashboard schema
// (kinds/dashboard/dashboard_kind.cue), its value formats, "Provision Grafana",
// and the pages of the Prometheus, Loki and Tempo data sources, as of 12.4.
package grafana
