"""A plain page for a stack's dashboard: what its custom widgets return, with buttons that work.

It stands in for the console of Amazon CloudWatch: it invokes the widget's function with the context that the console
sends, and does what ``cwdb-action`` says (Amazon CloudWatch user guide, "Custom widgets"). It draws no charts of
metrics.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any
from urllib.parse import quote

from moto.awslambda.models import lambda_backends
from moto.cloudwatch.models import cloudwatch_backends

from localcloud.functions import Functions

WIDTH, HEIGHT = 1200, 800
THEMES = {"light": ("#ffffff", "#10161e"), "dark": ("#161d26", "#e8edf3")}

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title><link rel="icon" href="data:,">
<style>
  body { margin: 0 auto; max-width: 1240px; padding: 16px 20px; background: $ground; color: $ink;
    font: 14px/1.45 "Helvetica Neue", Roboto, Arial, sans-serif; }
  header { display: flex; gap: 16px; align-items: baseline; margin-bottom: 12px; }
  header b { font-size: 17px; flex: 1; }
  header a, li a { color: inherit; }
  dialog { border: 1px solid #7d8998; border-radius: 10px; padding: 18px 22px; max-width: 560px; }
  dialog pre { white-space: pre-wrap; overflow-wrap: anywhere; }
</style></head><body>
<header><b>$title</b>$links</header>
$content
<dialog id="reply"><pre></pre><form method="dialog"><button>Close</button></form></dialog>
<script>
  const reply = document.getElementById("reply");
  reply.addEventListener("close", () => location.reload());
  for (const action of document.querySelectorAll("cwdb-action")) {
    action.previousElementSibling.addEventListener("click", async () => {
      if (!confirm(action.getAttribute("confirmation"))) return;
      const sent = { endpoint: action.getAttribute("endpoint"), event: JSON.parse(action.textContent) };
      const answer = await fetch("call", { method: "POST", body: JSON.stringify(sent) });
      reply.querySelector("pre").textContent = await answer.text();
      reply.showModal();
    });
  }
</script></body></html>
""")


@dataclass(frozen=True)
class Dashboards:
    """The dashboards of one account and region."""

    account: str
    region: str
    functions: Functions

    def page(self, name: str, theme: str) -> str:
        """Return the page of a dashboard; without a name the list of all.

        Raises:
            ValueError: there is none of that name.
        """
        colours = THEMES.get(theme, THEMES["light"])
        if not name:
            return _page("Dashboards", colours, "", f"<ul>{''.join(self._entries())}</ul>")
        found = cloudwatch_backends[self.account][self.region].get_dashboard(name)
        if found is None:
            raise ValueError(f"{name}: no such dashboard")
        other = "light" if theme == "dark" else "dark"
        links = f'<a href="./">all dashboards</a><a href="?theme={other}">{other}</a>'
        widgets = json.loads(found.body)["widgets"]
        shown = [self._widget(name, number, w, theme) for number, w in enumerate(widgets) if w["type"] == "custom"]
        return _page(name, colours, links, "".join(shown) or "<p>It has no custom widget.</p>")

    def call(self, endpoint: str, event: dict[str, Any]) -> bytes:
        """Invoke a function for a button, and return its reply."""
        function = lambda_backends[self.account][self.region].get_function(endpoint)
        return self.functions.run(function, json.dumps(event).encode(), str(uuid.uuid4())).payload

    def _entries(self) -> Iterator[str]:
        for dashboard in cloudwatch_backends[self.account][self.region].list_dashboards(prefix=""):
            yield f'<li><a href="{quote(dashboard.name)}">{escape(dashboard.name)}</a></li>'

    def _widget(self, dashboard: str, number: int, widget: dict[str, Any], theme: str) -> str:
        properties = widget["properties"]
        params = properties.get("params", {})
        context = {
            "dashboardName": dashboard, "widgetId": f"widget-{number}", "accountId": self.account, "locale": "en",
            "timezone": {"label": "UTC", "offsetISO": "+00:00", "offsetInMinutes": 0}, "theme": theme,
            "title": properties.get("title", ""), "params": params, "forms": {"all": {}},
            "width": WIDTH, "height": HEIGHT,
        }  # fmt: skip
        reply = json.loads(self.call(properties["endpoint"], {**params, "widgetContext": context}))
        return reply if isinstance(reply, str) else f"<pre>{escape(json.dumps(reply, indent=2))}</pre>"


def _page(title: str, colours: tuple[str, str], links: str, content: str) -> str:
    ground, ink = colours
    return PAGE.substitute(title=escape(title), links=links, content=content, ground=ground, ink=ink)
