"""Countries, continents and invented outlets of the synthetic world.

The 18 countries are those of arXiv 2601.15236. Each has four outlets, two on a national domain and
two on `.com`, where only the record's country field says where they are. No host is meant to be a
real outlet.
"""

# country -> continent
CONTINENT_OF = {
    "gh": "Africa", "ke": "Africa", "ng": "Africa", "tz": "Africa", "za": "Africa",
    "ca": "America", "jm": "America", "us": "America",
    "bd": "Asia", "hk": "Asia", "in": "Asia", "lk": "Asia", "my": "Asia", "ph": "Asia",
    "pk": "Asia", "sg": "Asia",
    "gb": "Europe", "ie": "Europe",
}  # fmt: skip

# country -> hosts
OUTLETS = {
    "gh": "accraledgerline.com.gh kumasibeaconpost.com.gh accramirror.com tamalecourierdesk.com",
    "ke": "nairobiledgerline.co.ke mombasatidepost.co.ke kisumumirror.com nakurubeacondesk.com",
    "ng": "lagosledger.ng kanocourierpost.com.ng abujamirrordesk.com ibadanbeaconline.com",
    "tz": "dodomaledger.co.tz arushabeaconpost.co.tz mwanzamirror.com tangacourierdesk.com",
    "za": "durbanledgerline.co.za limpopobeacon.co.za karoomirror.com tshwanecourierdesk.com",
    "ca": "reginaledgerpost.ca yukonbeaconline.ca monctonmirrordesk.com gaspecourierline.com",
    "jm": "kingstonledgerpost.com.jm negrilbeacon.com.jm mobaymirrordesk.com portlandcourier.com",
    "us": "boiseledgerline.us duluthbeaconpost.us toledomirrordesk.com savannahcourierline.com",
    "bd": "dhakaledgerline.com.bd sylhetbeaconpost.com.bd khulnamirror.com bogracourierdesk.com",
    "hk": "kowloonledger.com.hk lantaubeacon.com.hk wanchaimirrordesk.com shatincourierline.com",
    "in": "nagpurledgerline.in mysorebeaconpost.co.in bhopalmirrordesk.com mangalorecourier.com",
    "lk": "colomboledgerline.lk kandybeaconpost.lk gallemirrordesk.com jaffnacourierline.com",
    "my": "penangledger.com.my ipohbeaconpost.com.my kuchingmirror.com melakacourierdesk.com",
    "ph": "cebuledgerline.com.ph davaobeaconpost.com.ph iloilomirror.com baguiocourierdesk.com",
    "pk": "lahoreledgerline.com.pk multanbeacon.com.pk quettamirrordesk.com sialkotcourier.com",
    "sg": "bedokledgerline.com.sg jurongbeacon.com.sg changimirrordesk.com tampinescourier.com",
    "gb": "leedsledgerline.co.uk exeterbeaconpost.co.uk derbymirrordesk.com nairncourierline.com",
    "ie": "galwayledgerline.ie sligobeaconpost.ie corkmirrordesk.com traleecourierline.com",
}
