import psycopg, pytest
from tests.isolation.catalogue import Catalogue
def test_mine(world):
    with psycopg.connect(world, autocommit=True) as c:
        cat = Catalogue(c, "fleet_api")
        for name in ("maintenance_windows","maintenance_window_kits","maintenance_occurrences","maintenance_deferred","shelves"):
            print(name, cat.ownership(name))
            org = c.execute("SELECT subtree_of(ARRAY[organisation_id]) FROM organisations WHERE slug='zzbravo'").fetchone()[0]
            print(len(cat.owned(name, org, cat.relations[name].names())))
