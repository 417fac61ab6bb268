"""Words of the console's menu in both languages."""

from __future__ import annotations

# key: (English, Danish)
NAVIGATION: dict[str, tuple[str, str]] = {
    "nav": ("Pages", "Sider"),
    "nav_desk": ("Desk", "Support"),
    "nav_kits": ("Kits", "Telekit"),
    "nav_logistics": ("Logistics", "Logistik"),
    "nav_menu": ("Menu", "Menu"),
    "nav_own": ("You", "Dig"),
    "nav_setup": ("Set-up", "Opsætning"),
}
